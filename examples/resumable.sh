#!/usr/bin/env bash
# For the other scripts: commands that have ended are not run again, so a killed script goes on where it was.

# begin WORKDIR SIZE: the folder of the results; raises an error if it was begun with another size.
begin() {
    finished=$1/finished
    mkdir -p "$1"
    [ -e "$1/size" ] || echo "$2" > "$1/size"
    if [ "$2" != "$(cat "$1/size")" ]; then
        echo "$1 was begun with: $(cat "$1/size"); now it is: $2. Take another WORKDIR" >&2
        exit 1
    fi
    touch "$finished"
}

# once COMMAND…: a tgr command that has not ended yet with success.
once() {
    ! grep -qxF -- "$*" "$finished" || return 0
    tgr "$@"
    printf '%s\n' "$*" >> "$finished"
}
