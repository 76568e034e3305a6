#!/usr/bin/env bash
# The table that ends `tgr demo`, command by command: is a head that starts from text more resilient than the usual one?
#
#     examples/compare_heads.sh
#     EPOCHS=1 INJECTIONS=64 examples/compare_heads.sh      in less time, and with wider intervals
set -euo pipefail

epochs=${EPOCHS:-15}
injections=${INJECTIONS:-4096}
digits=(--dataset digits)
training=(--epochs "$epochs" --optimizer adamw --lr 0.002 --batch-size 64)

tgr describe "${digits[@]}"                        # descriptions of the classes, which come with tgr
tgr embed --encoder tfidf "${digits[@]}"           # a vector for each class; CLIP would need a download

for head in baseline cosine text; do
    model=(--model digits_cnn --head "$head")
    size=()
    if [ "$head" = cosine ]; then size=(--embedding-dim 50); fi   # as long as the text's vectors: like with like
    tgr train "${model[@]}" "${training[@]}" "${size[@]}" "${digits[@]}"
    tgr evaluate "${model[@]}" "${digits[@]}"
    tgr profile-ranges "${model[@]}" "${digits[@]}"
    tgr inject "${model[@]}" --injections "$injections" "${digits[@]}"
done

runs=(digits_cnn-baseline digits_cnn-cosine digits_cnn-text-descriptions)
tgr top2diff-sweep "${digits[@]}"
tgr compare "${runs[@]}" "${digits[@]}"            # the table: factors baseline / candidate, with intervals
tgr report "${runs[@]}" "${digits[@]}"
