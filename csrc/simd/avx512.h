// Vectors of 16 floats: AVX-512 F, BW, DQ, VL.
#pragma once

#include <immintrin.h>

#include "simd/simd.h"

namespace geolrm::avx512 {

constexpr int kWidth = 16;
constexpr int kRegisters = 32;

struct Vec {
  __m512 v;
};
struct Mask {
  __mmask16 m;
};
struct Tail {
  __mmask16 m;
  explicit Tail(int n) : m(static_cast<__mmask16>((1u << n) - 1u)) {}
};

inline Vec set1(float x) { return {_mm512_set1_ps(x)}; }
inline Vec zero() { return {_mm512_setzero_ps()}; }
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load(const float* p, Tail t) { return {_mm512_maskz_loadu_ps(t.m, p)}; }
inline Vec load(const Half* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline Vec load(const Half* p, Tail t) {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(t.m, p))};
}
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline void store(float* p, Vec a, Tail t) { _mm512_mask_storeu_ps(p, t.m, a.v); }
inline __m256i to_half(Vec a) {
  return _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline void store(Half* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_half(a));
}
inline void store(Half* p, Vec a, Tail t) { _mm256_mask_storeu_epi16(p, t.m, to_half(a)); }

inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Vec floor(Vec a) { return {_mm512_roundscale_ps(a.v, 0x09)}; }
inline Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, 0x08)}; }

inline Mask less(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
inline Mask at_least(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
inline Mask operator&(Mask a, Mask b) { return {static_cast<__mmask16>(a.m & b.m)}; }
inline Mask operator|(Mask a, Mask b) { return {static_cast<__mmask16>(a.m | b.m)}; }
inline Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_blend_ps(m.m, b.v, a.v)}; }
inline Vec keep(Mask m, Vec a) { return {_mm512_maskz_mov_ps(m.m, a.v)}; }
inline int bits(Mask m) { return m.m; }
inline bool any(Mask m) { return m.m != 0; }
inline int count(Mask m) { return _mm_popcnt_u32(m.m); }

inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

inline float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
inline float sum(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline float largest(Vec a) { return _mm512_reduce_max_ps(a.v); }
// The sums of a, b, c and d at p[0] .. p[3].
inline void sum4(float* p, Vec a, Vec b, Vec c, Vec d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c.v, d.v), _mm512_unpackhi_ps(c.v, d.v));
  const __m512 s = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
  const __m256 t = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
  _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1)));
}

// out[k] += the sum of v[k]'s lanes, for ten vectors; 16 places, aligned to 64 bytes, are written.
inline void add_sums(const Vec (&v)[10], float* out) {
  // Four vectors to one of partial sums, then across its quarters.
  const auto two = [](Vec a, Vec b) {
    return _mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));
  };
  const auto four = [](__m512 ab, __m512 cd) {
    const __m512d x = _mm512_castps_pd(ab), y = _mm512_castps_pd(cd);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
  };
  const auto halves = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
  };
  const __m512 none = _mm512_setzero_ps();
  const __m512 a = four(two(v[0], v[1]), two(v[2], v[3]));
  const __m512 b = four(two(v[4], v[5]), two(v[6], v[7]));
  const __m512 c = four(two(v[8], v[9]), none);
  const __m512 ab = halves(a, b), cd = halves(c, none);
  const __m512 all =
      _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
  _mm512_store_ps(out, _mm512_add_ps(_mm512_load_ps(out), all));
}

// Lanes truncated to int32, kept as bits.
inline Vec int_bits(Vec a) { return {_mm512_castsi512_ps(_mm512_cvttps_epi32(a.v))}; }
inline void store_bits(int32_t* p, Vec a) { _mm512_storeu_ps(p, a.v); }
// The lanes of m side by side, and then anything.
inline Vec compress(Mask m, Vec a) { return {_mm512_maskz_compress_ps(m.m, a.v)}; }
inline void compress(void* p, Mask m, Vec a) { store(static_cast<float*>(p), compress(m, a)); }
// Lane i of a, b, c and d side by side at p + interleaved(i).
inline void interleave(float* p, Vec a, Vec b, Vec c, Vec d) {
  const __m512 ac_low = _mm512_unpacklo_ps(a.v, c.v), ac_high = _mm512_unpackhi_ps(a.v, c.v);
  const __m512 bd_low = _mm512_unpacklo_ps(b.v, d.v), bd_high = _mm512_unpackhi_ps(b.v, d.v);
  _mm512_store_ps(p, _mm512_unpacklo_ps(ac_low, bd_low));
  _mm512_store_ps(p + 16, _mm512_unpackhi_ps(ac_low, bd_low));
  _mm512_store_ps(p + 32, _mm512_unpacklo_ps(ac_high, bd_high));
  _mm512_store_ps(p + 48, _mm512_unpackhi_ps(ac_high, bd_high));
}
struct Quad {
  Vec a, b, c, d;
};
// p[0] .. p[3], each in all lanes. kSize: of the values read beside. Float32 leaves no load free,
// so one load and shuffles; float16's conversions leave no shuffle free.
template <int kSize>
inline Quad spread(const float* p) {
  if (kSize == 2) return {set1(p[0]), set1(p[1]), set1(p[2]), set1(p[3])};
  const __m512 all = _mm512_broadcast_f32x4(_mm_load_ps(p));
  return {{_mm512_permute_ps(all, 0x00)},
          {_mm512_permute_ps(all, 0x55)},
          {_mm512_permute_ps(all, 0xAA)},
          {_mm512_permute_ps(all, 0xFF)}};
}
// p = x0 y0 x1 y1 ...
inline void load_pairs(const float* p, Vec& x, Vec& y) {
  const __m512 a = _mm512_loadu_ps(p), b = _mm512_loadu_ps(p + 16);
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  x.v = _mm512_permutex2var_ps(a, even, b);
  y.v = _mm512_permutex2var_ps(a, _mm512_or_si512(even, _mm512_set1_epi32(1)), b);
}

// a * 2^n, for n in the low bits of `power`, as adding 1.5 * 2^23 leaves it there.
inline Vec scale_by_power(Vec a, Vec power) {
  const __m512i shift = _mm512_slli_epi32(_mm512_castps_si512(power.v), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), shift))};
}
// y * 2^n for whole n.
inline Vec scale(Vec y, Vec n) { return {_mm512_scalef_ps(y.v, n.v)}; }
constexpr bool kScaleEnds = true;

}  // namespace geolrm::avx512

#include "simd/exponentials.h"
