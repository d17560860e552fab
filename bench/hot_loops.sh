#!/bin/sh
# The machine code of the hot loops, as a table: hot_loops.sh LIBRARY [TARGET], a name of Highway's. For each loop of
# the tile kernels of int8 or floats that looks up or multiplies, the innermost of these, without flushes: instructions
# per 64 lookups, or per 64 multiply-adds (of bits: a bit each); moves from vector register to vector register, and
# vectors on the stack, which are
# spilled registers; for NEON cycles per 64 on some cores by llvm-mca (block throughput), in brackets those of the
# lookups or multiply-adds alone, the bound. Loops appear in the order of the code, those for fewer rows of x after
# those for more.
# AVX3_ZEN4: fails if a loop exceeds the limits, which are those of clang 14.
set -eu
library=$1 target=${2:-AVX3_ZEN4}
cores= objdump=${OBJDUMP:-objdump}
case $target in
  NEON*)
    cores="neoverse-v2 neoverse-n1 apple-m1 cortex-a76"
    objdump=${OBJDUMP:-aarch64-linux-gnu-objdump}
    mca=$(command -v llvm-mca-19 || command -v llvm-mca)
    ;;
esac
encodings=$(sed -n 's/^ *{Encoding::k\([A-Za-z0-9]*\), ".*/\1/p' "$(dirname "$0")/../include/lutra/format.h" | tr '\n' ' ')
formats=$(sed -n 's/^ *{Format::k\([A-Za-z0-9]*\), ".*/\1/p' "$(dirname "$0")/../include/lutra/format.h" | tr '\n' ' ')
loops=$(mktemp -d)
trap 'rm -rf "$loops"' EXIT

# One line per loop: encoding (any: unpacked codes; -joint: in joint K-blocks), kernel, units (lookups or multiply-adds), instructions, moves, stack, verdict, and the file
# that holds its code; beside it FILE.work, the lookups or multiply-adds alone.
"$objdump" --disassemble --demangle --no-show-raw-insn "$library" | awk -v target="$target" -v folder="$loops" -v list="$encodings" -v format_list="$formats" '
  BEGIN {
    split(list, encodings)
    split(format_list, formats)
    # Units per instruction; a lookup takes precedence, as its adder may be a multiplication.
    lookup["vpermb"] = 64; lookup["tbl"] = 16; lookup["vpshufb"] = target ~ /AVX3/ ? 64 : 32
    multiply["vpdpbusd"] = target ~ /AVX3/ ? 64 : 32; multiply["vpmaddubsw"] = multiply["vpdpbusd"]
    multiply["sdot"] = 16; multiply["smmla"] = 32
    popcount["vpopcntb"] = 512; popcount["vpshufb"] = target ~ /AVX3/ ? 256 : 128; popcount["cnt"] = 128
    pairs["vpmaddwd"] = target ~ /AVX3/ ? 32 : 16
    split("smull smull2 smlal smlal2 umull umull2 umlal umlal2", widening)
    for (i in widening) multiply[widening[i]] = 8
    split("vfmadd132ps vfmadd213ps vfmadd231ps", floats)
    for (i in floats) fma[floats[i]] = target ~ /AVX3/ ? 16 : 8
    fma["fmla"] = 4
    bf16["vdpbf16ps"] = 32; bf16["bfmmla"] = 16
    limited = target == "AVX3_ZEN4"
  }
  function units_of(table, k,    name) {
    split(code[k], words, /[ \t]+/)
    name = words[1]
    if (!(name in table)) return 0
    if (name ~ /mull|mlal/ && code[k] !~ /\.8h/) return 0  # of wider lanes: a flush
    return table[name]
  }
  function work_of(k) {
    return kernel == "lookup" ? units_of(lookup, k) : kernel == "float" ? units_of(fma, k) : \
      kernel == "bf16" ? units_of(bf16, k) : kernel == "dot-shorts" ? units_of(pairs, k) : \
      kernel ~ /popcount/ ? units_of(popcount, k) : units_of(multiply, k)
  }
  # Not the way into a loop, or back to what others end with, too.
  function is_loop(work, most) { return work >= 64 && 8 * work > most }
  function report(    i, j, k, inner, work, most, moves, stack, units, count_, per64, bad, file) {
    most = 0
    for (i = 0; i < loops; ++i) {
      work[i] = 0
      for (k = first[i]; k <= last[i]; ++k) work[i] += work_of(k)
      if (work[i] > most) most = work[i]
    }
    for (i = 0; i < loops; ++i) {
      if (!is_loop(work[i], most)) continue
      inner = 1  # loops that only prefetch may be inside
      for (j = 0; j < loops; ++j) {
        if (j != i && is_loop(work[j], most) && first[j] >= first[i] && last[j] <= last[i]) inner = 0
      }
      for (k = first[i]; k <= last[i]; ++k) inner = inner && (kernel == "float" || code[k] !~ /^(vfmadd|fmla|vcvtdq2ps|scvtf)/)  # a flush
      if (!inner) continue
      moves = stack = 0
      for (k = first[i]; k <= last[i]; ++k) {
        moves += code[k] ~ /^vmov[a-z0-9]* +%[xyz]mm[0-9]+,%[xyz]mm[0-9]+$/ || code[k] ~ /^mov[ \t]+v[0-9]+\.16b, v/
        stack += (code[k] ~ /\(%rsp/ && code[k] ~ /%[xyz]mm/) || code[k] ~ /^(ldr|str|ldp|stp)[ \t]+q.*\[(sp|x29)/
      }
      units = work[i]
      count_ = last[i] - first[i] + 1
      per64 = count_ * 64 / units
      # Dot kernels: 64 multiply-adds are one vpdpbusd, so the limits are per 16 of them. Of bits, one vpopcntb is 512.
      limit = kernel == "float" ? 400 : kernel == "popcount" ? 20 : kernel == "unpacked-popcount" ? 11 : \
        kernel == "lookup" ? (encoding ~ /Ternary/ ? 140 : 102) : encoding ~ /Codes[5-7]/ ? 160 : encoding ~ /tables/ ? 104 : 100
      bad = limited && (per64 * 16 > limit ||
                        moves * 16 * 64 / units > 1 || stack * 16 * 64 / units > 1)
      file = folder "/" (reported + 0)
      for (k = first[i]; k < last[i]; ++k) {  # without the branch
        text = code[k]
        if (text ~ /^(b|b\.[a-z]+|cbn?z|tbn?z)[ \t]/) continue
        sub(/[ \t]*(\/\/|<).*/, "", text)
        print text > file
        if (work_of(k)) print text > (file ".work")
      }
      close(file); close(file ".work")
      print encoding, kernel, units, count_, moves, stack, bad ? "too-many" : "-", file
      ++reported
    }
  }
  /^[0-9a-f]+ <.*>:$/ {
    if (inside) report()
    inside = match($0, "N_" target "::Multiply(Panels|Joint)<") && (/Precision\)0/ || /(Bits|Float|Bf16)Kernel|Bf16Products/)
    count = loops = 0
    if (inside) {
      encoding = "any"
      if (match($0, /Encoding\)[0-9]/)) encoding = encodings[substr($0, RSTART + 9, 1) + 1]
      if (match($0, /Format\)[0-9]+/)) encoding = formats[substr($0, RSTART + 7, RLENGTH - 7) + 1]
      if (/TableOfCodes/) encoding = encoding "-table"
      if (/TablesOfCodes/) encoding = encoding "-tables"
      if (/MultiplyJoint</) encoding = encoding "-joint"
      kernel = /FloatKernel/ ? "float" : /Bf16(Kernel|Products)/ ? "bf16" : /MatrixProductKernel/ ? "matrix" : /PackedBitsKernel/ ? "popcount" : \
        /BitsKernel/ ? "unpacked-popcount" : !/DotKernel/ ? "lookup" : /ExtensionDot/ ? "dot-extension" : \
        /WideDot/ ? "dot-wide" : /ShortDotKernel/ ? "dot-shorts" : "dot"
    }
    next
  }
  inside && /^ *[0-9a-f]+:/ {
    address = $1; sub(/:/, "", address)
    at[address] = count
    code[count] = $0; sub(/^ *[0-9a-f]+:[ \t]*(\{vex\} )?/, "", code[count])
    for (i = 3; $2 ~ /^(j|b$|b\.|cb|tb[nz])/ && i <= 5; ++i) {
      to = $i; sub(/^0x/, "", to)
      if (!(to in at) || at[to] > count || code[at[to]] == "" || $i ~ /^[xw][0-9]/) continue
      first[loops] = at[to]; last[loops++] = count
    }
    ++count
  }
  END { if (inside) report() }' >"$loops/list"

[ -s "$loops/list" ] || { echo "no hot loops of $target"; exit 1; }
header="| encoding | kernel | lookups or multiply-adds | instructions per 64 | moves | on the stack |"
line="|---|---|---|---|---|---|"
known=
for core in $cores; do
  echo "nop" | "$mca" -mtriple=aarch64 -mcpu="$core" 2>&1 | grep -q "not a recognized" && continue
  known="$known $core"
  header="$header $core |" line="$line---|"
done
printf '%s\n%s\n' "$header" "$line"

# Cycles per 64 units of the code in a file.
cycles() {
  "$mca" -mtriple=aarch64 -mattr=+dotprod,+i8mm,+bf16 -mcpu="$1" "$2" 2>/dev/null |
    awk -v units="$3" '/^Block RThroughput/ { printf "%.1f", $3 * 64 / units }'
}
while read -r encoding kernel units count moves stack verdict file; do
  row="| $encoding | $kernel | $units | $(echo "$count $units" | awk '{ printf "%.1f", $1 * 64 / $2 }') | $moves | $stack |"
  for core in $known; do
    row="$row $(cycles "$core" "$file" "$units") ($(cycles "$core" "$file.work" "$units")) |"
  done
  [ "$verdict" = - ] || row="$row <-- too many"
  echo "$row"
done <"$loops/list" | awk '!seen[$0]++ { print; failed += /too many/ } END { exit failed != 0 }'  # once each
