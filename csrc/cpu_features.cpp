#include "cpu_features.h"

#include <stdexcept>

#if defined(GEOLRM_X86) && defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#endif

namespace geolrm {
namespace {

Isa detect() {
#if defined(GEOLRM_X86) && (defined(__GNUC__) || defined(__clang__))
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return avx2 && avx512 ? Isa::kAvx512 : avx2 ? Isa::kAvx2 : Isa::kPlain;
#elif defined(GEOLRM_X86) && defined(_MSC_VER)
  // Windows only: the compiler has no portable query, so ask CPUID and the saved register state.
  int leaf1[4], leaf7[4];
  __cpuid(leaf1, 1);
  __cpuidex(leaf7, 7, 0);
  const bool osxsave = (leaf1[2] >> 27) & 1;
  const unsigned long long state = osxsave ? _xgetbv(0) : 0;
  const bool avx2 = (state & 0x6) == 0x6 && ((leaf1[2] >> 12) & 1) && ((leaf7[1] >> 5) & 1);
  const bool avx512 = avx2 && (state & 0xE6) == 0xE6 && ((leaf7[1] >> 16) & 1) &&
                      ((leaf7[1] >> 17) & 1) && ((leaf7[1] >> 30) & 1) && ((leaf7[1] >> 31) & 1);
  return avx512 ? Isa::kAvx512 : avx2 ? Isa::kAvx2 : Isa::kPlain;
#elif defined(GEOLRM_ARM64)
  return Isa::kNeon;  // part of every 64-bit ARM CPU
#else
  return Isa::kPlain;
#endif
}

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
