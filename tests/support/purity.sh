#!/bin/sh
# Instructions that not every CPU has stand only where the CPU was asked first: in the functions of a target that has
# them. purity.sh LIBRARY lists those that do not, x86-64 or arm64.
#
# (A function compiled for a target, but without the target in its name, may replace its twin for all CPUs when the
# linker picks one of the two.)
set -eu
case $(${OBJDUMP:-objdump} -f "$1" | sed -n 's/^architecture: \([^,]*\).*/\1/p' | sort -u) in
  *aarch64*) arm=1 ;;
  *x86-64*) arm=0 ;;
  *) echo "$1: neither x86-64 nor arm64" && exit 2 ;;
esac
${OBJDUMP:-objdump} --disassemble --demangle --wide --show-raw-insn "$1" | awk -v arm=$arm '
  BEGIN {
    # Beyond SSE2, in addition to instructions whose encoding shows it.
    later = "^(popcnt|lzcnt|lddqu|mov(d|s[lh])dup|(addsub|hadd|hsub)p[sd])$"
    # Of AVX-512, what Skylake-X lacks.
    deep = "^v(p?perm[bit2]*b|pdp[a-z]+|popcnt[bwdq]|gf2p8[a-z]+|p(compress|expand)[bw]|psh[rl]dv?[wdq]|pmultishiftqb|" \
           "pmadd52[a-z]+|aes[a-z]+|pclmul[a-z]+)$"
    sapphire = "^v([a-z0-9]+(ph|sh|bf16))$"
    zen = "^vdpbf16ps$"  # Zen 4 and better, and Sapphire Rapids
  }
  # What the first bytes of an instruction of x86-64, after its prefixes, say: VEX begins AVX, AVX2, FMA, F16C, BMI and
  # what works on masks, EVEX all else of AVX-512; two maps of opcodes came after SSE2.
  function encoding(bytes, i, byte) {
    split(bytes, byte, " ")
    for (i = 1; byte[i] ~ /^(66|67|f[023]|2e|26|36|3e|6[45]|4[0-9a-f])$/;) ++i
    if (byte[i] == "62") return "EVEX"
    if (byte[i] ~ /^c[45]$/) return "VEX"
    return byte[i] == "0f" && byte[i + 1] ~ /^3[8a]$/ ? "SSSE3" : ""
  }
  # Why the instruction must not stand in the function; "" if it may.
  function fault(name, code) {
    if (arm) {
      if (name ~ /mmla$/) return function_ !~ /MatrixProductKernel/ ? "without MatrixProductKernel" : ""
      return name ~ /^[su]dot$|^usdot$/ && function_ !~ /ExtensionDot/ ? "without ExtensionDot" : ""
    }
    # Of AMX, also in what is inlined: the tile kernel names its registers.
    if (name ~ /^(ld|st)?tile|^tdp/ && function_ !~ /::N_AVX3_SPR::.*AmxRegisters/) return "without AmxRegisters"
    if (function_ !~ /::N_AVX/) return code != "" || name ~ later ? "without a target" : ""
    if (function_ ~ /::N_AVX2::/) {
      if (code == "EVEX" || name ~ /^k[a-z]+[bwdq]$/) return "of AVX2"
      if (name ~ /^vpdp/ && function_ !~ /ExtensionDot/) return "of AVX2 without ExtensionDot"
    }
    if (function_ ~ /::N_AVX3::/ && name ~ deep) return "of AVX3"
    if (function_ !~ /::N_AVX3_(ZEN4|SPR)::/ && name ~ zen) return "not of AVX3_ZEN4"
    if (function_ !~ /::N_AVX3_SPR::/ && name ~ sapphire && name !~ /^vcvt(ps2ph|ph2ps)$/) return "not of AVX3_SPR"
    return ""
  }
  /^[0-9a-f]+ <.*>:$/ { function_ = $0; sub(/^[0-9a-f]+ </, "", function_); sub(/>:$/, "", function_); ++functions; next }
  /^ *[0-9a-f]+:\t/ {
    split($0, columns, "\t")
    name = columns[3]
    sub(/^\{[a-z]+\} */, "", name)
    while (name ~ /^(lock|rep[a-z]*|bnd|notrack|data16|cs|ds) /) sub(/^[a-z0-9]+ */, "", name)
    sub(/[ \t].*/, "", name)
    ++instructions
    why = fault(name, arm ? "" : encoding(columns[2]))
    if (why != "" && !((function_, name) in seen)) {
      seen[function_, name]
      print name " in a function " why ": " function_
      ++faults
    }
  }
  END {
    if (instructions < 1000 && faults == 0) { print "no code"; exit 2 }
    print instructions " instructions of " functions " functions, " faults + 0 " that should not be there"
    exit faults != 0
  }'
