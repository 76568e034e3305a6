#!/usr/bin/env bash
# A network of your own on pictures of your own: nothing of tgr is touched, and nothing is registered.
#
# own_model.py stands for your code: `build` returns the network, own_model.safetensors holds its weights, and
# my_digits/val/<class>/ holds the pictures.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"     # where own_model:build is found; the current folder is, too

python "$here/own_model.py"
tgr inject --model own_model:build --checkpoint own_model.safetensors --dataset imagefolder:my_digits \
    --resize 8 --crop 8 --mean 0.5 --std 0.5 --injections "${INJECTIONS:-1024}"
