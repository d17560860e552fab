#!/bin/sh
# Installs from Debian what building and testing need, if it is missing:
# setup.sh [arm64] [compilers] [cpus] [sanitizers] [docs] [tidy] [windows] [mpi] [zstd] [blas] [ggml] [onnxruntime]
# ggml and onnxruntime also bring the libraries of ggml and llama.cpp, or of ONNX Runtime, from npm to build/deps, where
# the presets look for them; with arm64 before them, also those for arm64. onnxruntime brings a network that reads text,
# too.
set -eu
packages="ca-certificates clang clang-format cmake g++ git ninja-build pkg-config python3"
packages="$packages libbenchmark-dev libeigen3-dev libfmt-dev libgtest-dev libomp-dev libtbb-dev"
packages="$packages nlohmann-json3-dev python3-numpy"
foreign= fetched=
for part; do
  case $part in
    arm64)
      foreign=arm64
      packages="$packages crossbuild-essential-arm64 qemu-user-static"
      packages="$packages libbenchmark-dev:arm64 libfmt-dev:arm64 libgomp1:arm64 libgtest-dev:arm64 libtbb-dev:arm64"
      ;;
    compilers) packages="$packages clang-19" ;;
    cpus) packages="$packages qemu-user-static valgrind" ;;
    sanitizers) packages="$packages libclang-rt-dev" ;;
    docs) packages="$packages doxygen" ;;
    mpi) packages="$packages libopenmpi-dev openmpi-bin" ;;
    zstd) packages="$packages libzstd-dev" ;;
    blas) packages="$packages libdnnl-dev libopenblas-pthread-dev" ;;
    tidy) packages="$packages clang-tidy" ;;
    ggml | onnxruntime)
      fetched="$fetched $part"
      [ "$part" = ggml ] || {
        fetched="$fetched ocr"
        packages="$packages fonts-dejavu-core libfreetype-dev libonnx-dev libprotobuf-dev"
      }
      command -v npm >/dev/null || packages="$packages npm"
      ;;
    windows) packages="$packages g++-mingw-w64-x86-64-posix googletest wine wine64" ;;
    *)
      echo "usage: cmake/setup.sh [arm64] [compilers] [cpus] [sanitizers] [docs] [tidy] [windows] [mpi]" \
        "[zstd] [blas] [ggml] [onnxruntime]" >&2
      exit 2
      ;;
  esac
done

missing=
for package in $packages; do
  dpkg-query --show --showformat '${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' ||
    missing="$missing $package"
done
fetch() {
  here=$(dirname "$0")
  for library in $fetched; do
    case $(uname -m)$foreign in
      x86_64*) "$here/fetch.sh" "$library" "$here/../build/deps/$library-x86_64" x64 ;;
    esac
    case $(uname -m)$foreign in
      aarch64* | *arm64) "$here/fetch.sh" "$library" "$here/../build/deps/$library-aarch64" arm64 ;;
    esac
  done
}
if [ -z "$missing" ]; then
  fetch
  exit
fi

echo "Installing$missing"
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
[ -z "$foreign" ] || $as_root dpkg --add-architecture "$foreign"
# A source of someone else's that is down is no reason to stop: if a package cannot be had, the last line says so.
$as_root apt-get -qq update || true
# shellcheck disable=SC2086  # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive \
  apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends $missing >/dev/null
fetch
