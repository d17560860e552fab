#!/bin/sh
# Brings ONNX Runtime's shared library from npm, and its headers from Debian 13's source package:
# fetch_onnxruntime.sh FOLDER x64|arm64
# FOLDER gets include/ and lib/. onnxruntime.lock has the files and their SHA-512. A library serves programs that were
# compiled with the headers of an earlier version.
set -eu
folder=$1
cpu=$2
here=$(cd "$(dirname "$0")" && pwd)
lock=$here/onnxruntime.lock
if [ -e "$folder/lib" ] && cmp -s "$lock" "$folder/onnxruntime.lock"; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n 's/.*onnxruntime-node-\([0-9.]*\)\.tgz$/\1/p' "$lock")
cd "$work"
npm pack --silent "onnxruntime-node@$version" >/dev/null
# Of the files of the source package, only the one in the lock is needed.
"$here/fetch_debian_source.sh" trixie onnxruntime >apt.log 2>&1 || ls onnxruntime_*.orig.tar.xz >/dev/null || {
  cat apt.log >&2
  exit 1
}
sha512sum --check --quiet "$lock"
mkdir sources libraries
tar -xzf "onnxruntime-node-$version.tgz" -C libraries --strip-components 5 --wildcards \
  "package/bin/napi-v*/linux/$cpu/libonnxruntime.so*"
tar -xJf onnxruntime_*.orig.tar.xz -C sources --strip-components 1 --wildcards \
  '*/include/onnxruntime/core/session/*.h' '*/LICENSE'
cd - >/dev/null

rm -rf "$folder"
mkdir -p "$folder/include"
cp "$work"/sources/include/onnxruntime/core/session/onnxruntime_*.h "$work/sources/LICENSE" "$folder/include"
cp -r "$work/libraries" "$folder/lib"
cp "$lock" "$folder/onnxruntime.lock"  # last, so that an interrupted run leaves nothing that looks complete
