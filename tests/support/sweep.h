// Sweeps over formats, targets and something else. Each part of a case's name is one thing to filter by, and the target
// is the last: int4_g32_f16_offset_AVX3 is int4 in groups of 32, with f16 scales and offsets, on AVX3.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "lutra/kernels/registry.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/shapes.h"

namespace lutra::test {

// --- Formats on targets.

// A format on a target. Siblings are the formats that the same functions multiply there: only tables and limits, which
// are data, tell them apart.
struct Kernel {
  Format format;
  Target target;
  std::size_t phase;              // equal for siblings; SharedSweep begins with another part for each
  std::size_t sibling, siblings;  // its number among them, and their count
};
inline void PrintTo(const Kernel& kernel, std::ostream* out) {
  *out << Name(kernel.format) << " on " << TargetName(kernel.target);
}
inline std::string KernelName(const ::testing::TestParamInfo<Kernel>& info) {
  return std::string(Name(info.param.format)) + "_" + TargetName(info.param.target);
}
inline bool SameFunctions(const internal::MicroKernel& a, const internal::MicroKernel& b) {
  return std::equal(std::begin(a.functions), std::end(a.functions), std::begin(b.functions));
}
inline bool AreSiblings(Format a, Format b, Target target) {
  if (Describe(a).encoding != Describe(b).encoding || Describe(a).own_values != Describe(b).own_values) return false;
  for (const Precision precision : kPrecisions) {
    for (const MethodDescription& m : kMethods) {
      if (HasMethod(a, m.method) != HasMethod(b, m.method)) return false;
      if (!HasMethod(a, m.method)) continue;
      const ActivationKind kind = KindOf(m.method, a);
      const internal::MethodKernel& of_a = target->method(a, kind, precision);
      const internal::MethodKernel& of_b = target->method(b, kind, precision);
      if (!SameFunctions(of_a.packed, of_b.packed) || !SameFunctions(of_a.unpacked, of_b.unpacked)) return false;
      if (of_a.unpack != of_b.unpack || of_a.unpacked_bytes != of_b.unpacked_bytes) return false;
    }
  }
  return true;
}
inline bool AreOfOneKind(Format a, Format b, Target) { return MethodOf(a).kind == MethodOf(b).kind; }
inline Kernel KernelOf(Format format, Target target, bool (*are_siblings)(Format, Format, Target) = AreSiblings) {
  Kernel kernel{format, target, 0, 0, 0};
  for (const FormatInfo& other : kFormats) {
    if (!are_siblings(format, other.format, target)) continue;
    if (kernel.siblings == 0) kernel.phase = static_cast<std::size_t>(&other - kFormats);
    if (other.format == format) kernel.sibling = kernel.siblings;
    ++kernel.siblings;
  }
  for (const Target* other = RunnableTargets().begin(); *other != target; ++other) ++kernel.phase;
  return kernel;
}
inline constexpr std::size_t kAllTargets = std::numeric_limits<std::size_t>::max();

// Every format on the best targets.
inline std::vector<Kernel> Kernels(std::size_t best = kAllTargets,
                                   bool (*are_siblings)(Format, Format, Target) = AreSiblings) {
  std::vector<Kernel> kernels;
  const TargetList targets = RunnableTargets();
  for (const FormatInfo& f : kFormats) {
    for (std::size_t i = 0; i < targets.size && i < best; ++i) {
      kernels.push_back(KernelOf(f.format, targets.data[i], are_siblings));
    }
  }
  return kernels;
}
// For what depends on the kind of activations, not on the format: siblings are the formats that have one kind.
inline std::vector<Kernel> KernelsByKind() { return Kernels(kAllTargets, AreOfOneKind); }
// Every format that has the method, on every target.
inline std::vector<Kernel> KernelsWith(Method method) {
  std::vector<Kernel> kernels = Kernels();
  const auto lacks = [method](const Kernel& kernel) { return !HasMethod(kernel.format, method); };
  kernels.erase(std::remove_if(kernels.begin(), kernels.end(), lacks), kernels.end());
  return kernels;
}
// Whether a method has a kernel on packed codes, or on unpacked ones.
inline bool HasKernel(Format format, Target target, Method method, bool unpack) {
  const internal::MethodKernel& kernel = target->method(format, KindOf(method, format), Precision::kInt8);
  return kernel.micro(unpack, false).exists();
}
inline Target BestTarget() { return *RunnableTargets().begin(); }

inline Case CaseFor(const Kernel& kernel, const Shape& shape, std::uint64_t seed) {
  Case c;
  c.format = kernel.format;
  c.target = kernel.target;
  c.m = shape.m;
  c.n = shape.n;
  c.k = shape.k;
  c.seed = seed;
  return c;
}

class KernelTest : public ::testing::TestWithParam<Kernel> {
 protected:
  Case NewCase(const Shape& shape, std::uint64_t seed) const { return CaseFor(GetParam(), shape, seed); }

  // Weights to pack, without x: every group and scheme, with and without a bias, an order and gaps between rows.
  std::vector<Case> PackCases() const {
    std::vector<Case> cases;
    for (const std::size_t group : kGroups) {
      for (const ParamKind& kind : kParamKinds) {
        if (!Exists(group, kind)) continue;
        const std::size_t i = cases.size();
        Case c = NewCase(MixedShape(i), i);
        c.n = 0;
        c.group = group;
        c.zeros = kind.zeros;
        c.scale_type = kind.scale_type;
        c.bias = i % 2 == 0;
        c.order = i % 3 == 0;
        c.gap = i % 3 * 5;
        cases.push_back(c);
      }
    }
    return cases;
  }
};

// --- What else a sweep visits, as the middle part of the names. `index` counts a list; it chooses shapes and seeds.

struct GroupSize {
  std::size_t index, size;
};
inline std::string PartName(const GroupSize& group) { return "g" + GroupName(group.size); }
inline std::vector<GroupSize> GroupSizes() {
  std::vector<GroupSize> groups;
  for (const std::size_t size : kGroups) groups.push_back({groups.size(), size});
  return groups;
}

struct Scheme {
  std::size_t index;
  ParamKind kind;
};
inline std::string PartName(const ParamKind& kind) {
  return std::string(Name(kind.scale_type)) + "_" + Name(kind.zeros);
}
inline std::string PartName(const Scheme& scheme) { return PartName(scheme.kind); }
inline std::vector<Scheme> Schemes() {
  std::vector<Scheme> schemes;
  for (const ParamKind& kind : kParamKinds) schemes.push_back({schemes.size(), kind});
  return schemes;
}

// A qparam scheme in groups that it may have.
struct GroupedScheme {
  std::size_t index, group;
  ParamKind kind;
};
inline std::string PartName(const GroupedScheme& scheme) {
  return "g" + GroupName(scheme.group) + "_" + PartName(scheme.kind);
}
inline std::vector<GroupedScheme> GroupedSchemes() {
  std::vector<GroupedScheme> schemes;
  for (const std::size_t group : kGroups) {
    for (const ParamKind& kind : kParamKinds) {
      if (Exists(group, kind)) schemes.push_back({schemes.size(), group, kind});
    }
  }
  return schemes;
}

struct XPart {
  std::size_t index;
  XKind x;
};
inline std::string PartName(const XKind& x) {
  std::string type = std::string("x_") + Name(x.type);
  if (!HasScales(x.type)) return type;
  return type + "_per_" + (x.scale_group == kPerMatrix - 1 ? "huge_group" : GroupName(x.scale_group));
}
inline std::string PartName(const XPart& part) { return PartName(part.x); }
inline std::vector<XPart> XParts() {
  std::vector<XPart> parts;
  for (const XKind& x : kXKinds) parts.push_back({parts.size(), x});
  return parts;
}

struct DataPart {
  std::size_t index;
  Data data;
  XKind x;
};
inline std::string PartName(const DataPart& part) { return PartName(part.x) + "_" + Name(part.data); }
inline std::vector<DataPart> DataParts() {
  std::vector<DataPart> parts;
  for (const Data data : kDataKinds) {
    for (const XKind& x : kXKinds) parts.push_back({parts.size(), data, x});
  }
  return parts;
}

struct ShapePart {
  std::size_t index;
  Shape shape;
};
inline std::string PartName(const ShapePart& part) {
  return "m" + std::to_string(part.shape.m) + "_n" + std::to_string(part.shape.n) + "_k" + std::to_string(part.shape.k);
}
template <std::size_t kCount>
std::vector<ShapePart> ShapeParts(const Shape (&shapes)[kCount]) {
  std::vector<ShapePart> parts;
  for (const Shape& shape : shapes) parts.push_back({parts.size(), shape});
  return parts;
}

// --- Cases.

template <class Part>
struct SweepCase {
  Kernel kernel;
  Part part;
};
template <class Part>
std::string CaseName(const SweepCase<Part>& c) {
  const std::string name = std::string(Name(c.kernel.format)) + "_" + PartName(c.part);
  return c.kernel.target == nullptr ? name : name + "_" + TargetName(c.kernel.target);
}
template <class Part>
void PrintTo(const SweepCase<Part>& c, std::ostream* out) {
  *out << CaseName(c);
}
struct SweepName {
  template <class Part>
  std::string operator()(const ::testing::TestParamInfo<SweepCase<Part>>& info) const {
    return CaseName(info.param);
  }
};

// Every part on every kernel.
template <class Part>
std::vector<SweepCase<Part>> Sweep(const std::vector<Kernel>& kernels, const std::vector<Part>& parts) {
  std::vector<SweepCase<Part>> cases;
  for (const Kernel& kernel : kernels) {
    for (const Part& part : parts) cases.push_back({kernel, part});
  }
  return cases;
}
// One of `of` parts on every kernel, where siblings take turns: together, kernels of consecutive formats or targets
// visit every part. `of` has no factor in common with the lengths of the lists that the parts are products of.
template <class Part>
std::vector<SweepCase<Part>> SharedSweep(const std::vector<Kernel>& kernels, const std::vector<Part>& parts,
                                         std::size_t of = 1) {
  std::vector<SweepCase<Part>> cases;
  for (const Kernel& kernel : kernels) {
    for (const Part& part : parts) {
      const std::size_t turn = part.index + kernel.phase;
      if (turn % of == 0 && turn / of % kernel.siblings == kernel.sibling) cases.push_back({kernel, part});
    }
  }
  return cases;
}
// Every part in every format, for tests that use no kernel.
template <class Part>
std::vector<SweepCase<Part>> SweepFormats(const std::vector<Part>& parts) {
  std::vector<Kernel> formats;
  for (const FormatInfo& f : kFormats) formats.push_back({f.format, nullptr, 0, 0, 1});
  return Sweep(formats, parts);
}

template <class Part>
class SweepTest : public ::testing::TestWithParam<SweepCase<Part>> {
 protected:
  const Part& part() const { return this->GetParam().part; }
  Format format() const { return this->GetParam().kernel.format; }
  Target target() const { return this->GetParam().kernel.target; }
  Case NewCase(const Shape& shape, std::uint64_t seed) const { return CaseFor(this->GetParam().kernel, shape, seed); }
};

}  // namespace lutra::test
