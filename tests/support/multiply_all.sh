#!/bin/sh
# Multiplies every tensor of a file that gguf_matmul or safetensors_matmul lists as imported. The program must refuse
# the others with status 2: multiply_all.sh FILE PROGRAM...
set -eu
file=$1
shift
tensors=$("$@" "$file" | sed 1d)
test -n "$tensors"
echo "$tensors" | {
  while read -r name line; do
    case $name in *'?'*) continue ;; esac  # printed for what a terminal should not show
    expected=2
    case $line in *' yes, '*) expected=0 ;; esac
    status=0
    "$@" "$file" "$name" < /dev/null || status=$?
    if [ $status -ne $expected ]; then
      echo "$name: status $status instead of $expected"
      exit 1
    fi
  done
}
