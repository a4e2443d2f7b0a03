// 2^x and e^x over the vectors; each instruction set's header ends with it, and says before
// scale(y, n), y * 2^n for whole n, and kScaleEnds: whether that gives 0 and infinity where float32
// ends. Without it n has to lie in [-126, 127].
#pragma once

namespace geolrm::GEOLRM_ISA {

// 2^f * 2^n for f in [-0.5, 0.5] and whole n.
inline Vec exp2_split(Vec f, Vec n) {
  Vec y = set1(kExp2Poly[5]);
  for (int i = 4; i >= 0; --i) y = fma(y, f, set1(kExp2Poly[i]));
  return scale(y, n);
}

// NaN stays NaN. Without kScaleEnds the result is 0 below 2^-126, and above 2^127 it stays there.
inline Vec exp2(Vec x) {
  if constexpr (kScaleEnds) {
    const Vec n = round(x);
    return exp2_split(x - n, n);
  } else {
    const Vec low = set1(-126.0f), y = min(set1(127.0f), max(low, x)), n = round(y);
    return select(less(x, low), zero(), exp2_split(y - n, n));
  }
}
inline Vec exp(Vec x) {
  const Vec low = set1(kScaleEnds ? -200.0f : -87.33654f);  // keeps -inf finite
  Vec y = max(low, x);
  if constexpr (!kScaleEnds) y = min(set1(88.0f), y);
  const Vec n = round(y * set1(kLog2EHigh));
  const Vec f = fma(y, set1(kLog2ELow), fma(y, set1(kLog2EHigh), zero() - n));
  const Vec result = exp2_split(f, n);
  if constexpr (kScaleEnds) return result;
  return select(less(x, low), zero(), result);
}

}  // namespace geolrm::GEOLRM_ISA
