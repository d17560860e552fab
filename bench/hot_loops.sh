#!/bin/sh
# The machine code of the hot loops: hot_loops.sh LIBRARY [TARGET]. For each innermost loop of the int8 tile kernels of a
# target with dot products: instructions per 16 dot products (in lookup kernels, each adds 64 lookups), moves from vector
# register to vector register, and vectors on the stack, which are spilled registers. The limits are those of clang 14;
# fails if a loop exceeds them.
set -eu
library=$1 target=${2:-AVX3_ZEN4}
objdump --disassemble --demangle --no-show-raw-insn "$library" | awk -v target="$target" '
  function report(    i, j, k, inner, dots, moves, stack, name) {
    for (i = 0; i < loops; ++i) {
      inner = 1
      for (j = 0; j < loops; ++j) if (j != i && first[j] >= first[i] && last[j] <= last[i]) inner = 0
      if (!inner) continue
      dots = moves = stack = lookups = 0
      for (k = first[i]; k <= last[i]; ++k) {
        dots += code[k] ~ /^vpdpbusd/
        lookups += code[k] ~ /^vpermb/
        moves += code[k] ~ /^vmov[a-z0-9]* +%[xyz]mm[0-9]+,%[xyz]mm[0-9]+$/
        stack += code[k] ~ /\(%rsp/ && code[k] ~ /%[xyz]mm/
      }
      if (dots < 4) continue  # the way into a loop
      instructions = (last[i] - first[i] + 1) * 16 / dots
      bad = instructions > (lookups ? format == 4 ? 140 : 102 : 100) || moves * 16 / dots > 1 || stack * 16 / dots > 1
      printf "%-8s %3d dots, %2d lookups: %5.1f instructions per 16, %d moves, %d on the stack%s\n",
             formats[format + 1], dots, lookups, instructions, moves, stack, bad ? "  <-- too many" : ""
      failed += bad
      ++reported
    }
  }
  BEGIN { split("int1 int2 int3 int4 ternary", formats) }
  /^[0-9a-f]+ <.*>:$/ {
    if (inside) report()
    inside = index($0, "N_" target "::Tile<") && /Precision\)0/
    count = loops = 0
    if (inside) {
      match($0, /Format\)[0-9]/); format = substr($0, RSTART + 7, 1)
    }
    next
  }
  inside && /^ *[0-9a-f]+:/ {
    address = $1; sub(/:/, "", address)
    at[address] = count
    code[count] = $0; sub(/^ *[0-9a-f]+:[ \t]*/, "", code[count])
    if ($2 ~ /^j/ && $3 in at && at[$3] <= count && code[at[$3]] != "") {
      for (i = at[$3]; i <= count && code[i] !~ /^vpdpbusd/; ++i) {}
      if (i <= count) { first[loops] = at[$3]; last[loops++] = count }
    }
    ++count
  }
  END {
    if (inside) report()
    if (!reported) { print "no hot loops of " target; exit 1 }
    exit failed != 0
  }'
