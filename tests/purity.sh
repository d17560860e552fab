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
${OBJDUMP:-objdump} --disassemble --demangle --no-show-raw-insn "$1" | awk -v arm=$arm '
  BEGIN {
    # Beyond SSE2, besides what begins with v.
    later = "^(andn|bextr|bls[ir]|blsmsk|mulx|pdep|pext|rorx|s[ah][rl]x|adcx|adox|lzcnt|popcnt|movbe|crc32|pshufb|palignr|" \
            "ph(add|sub)s?[wd]|pmaddubsw|pmulhrsw|psign[bwd]|pabs[bwd]|p?blendv?[wbps]*|dpp[sd]|extractps|insertps|" \
            "p(ins|ext)r[bdq]|pm(in|ax)(s[bd]|u[wd])|pmul(dq|ld)|round[ps][sd]|ptest|pcmp(eq|gt)q|packusdw|" \
            "pmov[sz]x[bwdq]+|pcmp[ei]str[im]|mpsadbw|phminposuw|k[a-z]+[bwdq])$"
    # Of AVX-512, what Skylake-X lacks.
    deep = "^v(p?perm[bit2]*b|pdp[a-z]+|popcnt[bwdq]|gf2p8[a-z]+|p(compress|expand)[bw]|psh[rl]dv?[wdq]|pmultishiftqb|" \
           "pmadd52[a-z]+|aes[a-z]+|pclmul[a-z]+)$"
    sapphire = "^v([a-z0-9]+(ph|sh|bf16))$"
  }
  # Why the instruction must not stand in the function; "" if it may.
  function fault(name, words) {
    if (arm) return name ~ /^[su]dot$|^usdot$|mmla$/ && function_ !~ /ExtensionDot/ ? "without ExtensionDot" : ""
    if (function_ !~ /::N_AVX/) return name ~ /^v[a-z]/ && name !~ /^ver[rw]$/ || words ~ /%[yz]mm|%k[0-7]/ || name ~ later ? "without a target" : ""
    if (function_ ~ /::N_AVX2::/) {
      if (words ~ /%zmm|%k[1-7]/) return "of AVX2"
      if (name ~ /^vpdp/) return function_ ~ /ExtensionDot/ ? "" : "of AVX2 without ExtensionDot"
    }
    if (function_ ~ /::N_AVX3::/ && name ~ deep) return "of AVX3"
    if (function_ !~ /::N_AVX3_SPR::/ && name ~ sapphire && name !~ /^vcvt(ps2ph|ph2ps)$/) return "not of AVX3_SPR"
    return ""
  }
  /^[0-9a-f]+ <.*>:$/ { function_ = $0; sub(/^[0-9a-f]+ </, "", function_); sub(/>:$/, "", function_); ++functions; next }
  /^ *[0-9a-f]+:\t/ {
    text = $0; sub(/^ *[0-9a-f]+:\t */, "", text); sub(/^\{[a-z]+\} */, "", text)
    while (text ~ /^(lock|rep[a-z]*|bnd|notrack|data16|cs|ds) /) sub(/^[a-z0-9]+ */, "", text)
    split(text, words, /[ \t]+/)
    ++instructions
    why = fault(words[1], text)
    if (why != "" && !(function_ SUBSEP words[1] in seen)) {
      seen[function_, words[1]]
      print words[1] " in a function " why ": " function_
      ++faults
    }
  }
  END {
    if (instructions < 1000 && faults == 0) { print "no code"; exit 2 }
    print instructions " instructions of " functions " functions, " faults + 0 " that should not be there"
    exit faults != 0
  }'
