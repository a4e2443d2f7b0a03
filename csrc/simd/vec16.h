// Sixteen lanes, in as many vectors as the instruction set needs; included after the vectors.
#pragma once

namespace geolrm::GEOLRM_ISA {

// Two vectors, or two masks, as one of twice the lanes.
template <class V>
struct Twice {
  V low, high;
};
template <class V>
inline Twice<V> twice(const V& low, const V& high) {
  return {low, high};
}

template <int kLanes, class V>
struct Repeat {
  using Type = Twice<typename Repeat<kLanes / 2, V>::Type>;
};
template <class V>
struct Repeat<kWidth, V> {
  using Type = V;
};
using Vec16 = Repeat<16, Vec>::Type;
using Mask16 = Repeat<16, Mask>::Type;

template <class V>
struct Fill;
template <>
struct Fill<Vec> {
  static constexpr int kLanes = kWidth;
  static Vec load(const float* p) { return GEOLRM_ISA::load(p); }
  static Vec set1(float x) { return GEOLRM_ISA::set1(x); }
};
template <class V>
struct Fill<Twice<V>> {
  static constexpr int kLanes = 2 * Fill<V>::kLanes;
  static Twice<V> load(const float* p) {
    return {Fill<V>::load(p), Fill<V>::load(p + Fill<V>::kLanes)};
  }
  static Twice<V> set1(float x) { return {Fill<V>::set1(x), Fill<V>::set1(x)}; }
};
inline Vec16 load16(const float* p) { return Fill<Vec16>::load(p); }
inline Vec16 set16(float x) { return Fill<Vec16>::set1(x); }
template <class V>
inline void store(float* p, const Twice<V>& a) {
  store(p, a.low);
  store(p + Fill<V>::kLanes, a.high);
}

#define GEOLRM_OF_TWO(name)                                 \
  template <class V>                                        \
  inline auto name(const Twice<V>& a, const Twice<V>& b) {  \
    return twice(name(a.low, b.low), name(a.high, b.high)); \
  }
GEOLRM_OF_TWO(operator+)
GEOLRM_OF_TWO(operator-)
GEOLRM_OF_TWO(operator*)
GEOLRM_OF_TWO(operator/)
GEOLRM_OF_TWO(operator&)
GEOLRM_OF_TWO(operator|)
GEOLRM_OF_TWO(min)
GEOLRM_OF_TWO(less)
GEOLRM_OF_TWO(at_least)
GEOLRM_OF_TWO(scale_by_power)
#undef GEOLRM_OF_TWO
template <class V>
inline Twice<V> fma(const Twice<V>& a, const Twice<V>& b, const Twice<V>& c) {
  return {fma(a.low, b.low, c.low), fma(a.high, b.high, c.high)};
}
template <class V>
inline Twice<V> fnma(const Twice<V>& a, const Twice<V>& b, const Twice<V>& c) {
  return {fnma(a.low, b.low, c.low), fnma(a.high, b.high, c.high)};
}
template <class M, class V>
inline Twice<V> select(const Twice<M>& m, const Twice<V>& a, const Twice<V>& b) {
  return {select(m.low, a.low, b.low), select(m.high, a.high, b.high)};
}
template <class M, class V>
inline Twice<V> keep(const Twice<M>& m, const Twice<V>& a) {
  return {keep(m.low, a.low), keep(m.high, a.high)};
}
template <class M>
inline bool any(const Twice<M>& m) {
  return any(m.low | m.high);
}

inline Vec fold(Vec a) { return a; }
template <class V>
inline Vec fold(const Twice<V>& a) {
  return fold(a.low + a.high);
}
// c + fold(a * b).
inline Vec fold_product(Vec a, Vec b, Vec c) { return fma(a, b, c); }
template <class V>
inline Vec fold_product(const Twice<V>& a, const Twice<V>& b, Vec c) {
  return fold_product(a.high, b.high, fold_product(a.low, b.low, c));
}

}  // namespace geolrm::GEOLRM_ISA
