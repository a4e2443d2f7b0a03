#include "cpu_features.h"

#include <stdexcept>

#ifdef GEOLRM_X86
#include <cpuid.h>
#endif

namespace geolrm {
namespace {

#ifdef GEOLRM_X86
// Which registers the operating system saves: bits 1 and 2 for 256 bits, 5 to 7 besides for 512.
unsigned saved_state() {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// Asked of the CPU itself: __builtin_cpu_supports needs a library that clang-cl does not link.
Isa detect() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return Isa::kPlain;
  const auto has = [](unsigned word, int bit) { return (word >> bit & 1) != 0; };
  const bool saves = has(c, 27), fma = has(c, 12), f16c = has(c, 29);
  const unsigned state = saves ? saved_state() : 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return Isa::kPlain;
  const bool avx2 = (state & 0x6) == 0x6 && fma && f16c && has(b, 5);
  const bool f = has(b, 16), dq = has(b, 17), bw = has(b, 30), vl = has(b, 31);
  const bool avx512 = avx2 && (state & 0xE6) == 0xE6 && f && dq && bw && vl;
  return avx512 ? Isa::kAvx512 : avx2 ? Isa::kAvx2 : Isa::kPlain;
}
#else
Isa detect() {
#ifdef GEOLRM_ARM64
  return Isa::kNeon;  // part of every 64-bit ARM CPU
#else
  return Isa::kPlain;
#endif
}
#endif

#ifdef GEOLRM_ARM64
constexpr Isa kAll[] = {Isa::kPlain, Isa::kNeon};
constexpr char kNames[] = "plain or neon";
#else
constexpr Isa kAll[] = {Isa::kPlain, Isa::kAvx2, Isa::kAvx512};  // each includes those before it
constexpr char kNames[] = "plain, avx2 or avx512";
#endif

}  // namespace

Isa best_isa() {
  static const Isa isa = detect();
  return isa;
}

Isa parse_isa(const std::string& name) {
  if (name.empty()) return best_isa();
  for (const Isa isa : kAll) {
    if (name != isa_name(isa)) continue;
    if (isa > best_isa()) {
      throw std::invalid_argument("isa is '" + name + "', but the best this CPU supports is " +
                                  isa_name(best_isa()) + "; leave isa out to use that");
    }
    return isa;
  }
  throw std::invalid_argument("isa is '" + name + "'; it must be " + kNames);
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kNeon:
      return "neon";
    default:
      return "plain";
  }
}

}  // namespace geolrm
