#!/bin/sh
# Runs clang-tidy with the checks of .clang-tidy: tidy.sh BUILD_DIR [--all | FILE...]
# Without files it checks what differs from origin/main: the changed sources, and those that include a changed header.
set -eu
[ $# -ge 1 ] || { echo "usage: cmake/tidy.sh BUILD_DIR [--all | FILE...]" >&2; exit 2; }
build=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
commands=$build/compile_commands.json
[ -f "$commands" ] || { echo "tidy.sh: there is no $commands: configure with a preset first" >&2; exit 2; }

# The commands without precompiled headers, so that each file must include what it uses.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sed -E 's/-Xclang -include(-pch)? -Xclang [^ "]+ //g; s/-Winvalid-pch//g; s/-fpch-instantiate-templates//g' "$commands" \
  >"$folder/compile_commands.json"

changed() {
  base=$(git merge-base HEAD origin/main 2>/dev/null || git rev-parse HEAD)
  { git diff --name-only --diff-filter=d "$base"; git ls-files --others --exclude-standard; } | sort -u |
    while read -r file; do
      case $file in
        *.cc | *.c) echo "$file" ;;
        *.h) git grep -l "#include \".*$(basename "$file")\"" -- '*.cc' '*.c' || true ;;
      esac
    done | sort -u
}

if [ $# = 0 ]; then
  files=$(changed)
elif [ "$1" = --all ]; then
  files=$(git ls-files '*.cc' '*.c')
else
  files=$*
fi
for file in $files; do
  # Files that this build does not compile (fuzzers, other instruction sets) are left out.
  if grep -qF "/${file#"$PWD"/}\"" "$commands"; then echo "$file"; fi
done | xargs -r -P "$(nproc)" -n 1 clang-tidy -p "$folder" --quiet
