// Vectors of 4 floats in portable C++: correct everywhere, and simple enough to vectorise.
#pragma once

#include <cmath>
#include <cstring>

#include "simd/simd.h"

namespace geolrm::plain {

constexpr int kWidth = 4;
constexpr int kRegisters = 16;

struct Vec {
  float v[4];
};
struct Mask {
  uint32_t m[4];  // all ones or zero
};
struct Tail {
  int n;
  explicit Tail(int n) : n(n) {}
};

inline float half_to_float(Half half) {
  const uint32_t sign = static_cast<uint32_t>(half.bits & 0x8000u) << 16;
  const uint32_t rest = half.bits & 0x7FFFu;
  float magnitude;
  uint32_t word;
  if (rest >= 0x7C00u) {
    word = 0x7F800000u | (rest & 0x3FFu) << 13;
  } else if (rest >= 0x400u) {
    word = (rest << 13) + 0x38000000u;
  } else {
    magnitude = static_cast<float>(rest) * 5.9604644775390625e-8f;  // 2^-24
    std::memcpy(&word, &magnitude, 4);
  }
  word |= sign;
  std::memcpy(&magnitude, &word, 4);
  return magnitude;
}

// Rounds to nearest, ties to even.
inline Half float_to_half(float x) {
  uint32_t word;
  std::memcpy(&word, &x, 4);
  const uint32_t sign = word >> 16 & 0x8000u;
  word &= 0x7FFFFFFFu;
  uint32_t half;
  if (word > 0x7F800000u) {
    half = 0x7E00u;
  } else if (word >= 0x477FF000u) {
    half = 0x7C00u;
  } else if (word >= 0x38800000u) {
    half = (word - 0x38000000u + 0xFFFu + (word >> 13 & 1u)) >> 13;
  } else {
    float magnitude;  // below 2^-14: adding 0.5 leaves the half's bits at the end of the mantissa
    std::memcpy(&magnitude, &word, 4);
    magnitude += 0.5f;
    std::memcpy(&half, &magnitude, 4);
    half -= 0x3F000000u;
  }
  return {static_cast<uint16_t>(half | sign)};
}

template <class F>
inline Vec lanes(F f) {
  Vec r;
  for (int i = 0; i < kWidth; ++i) r.v[i] = f(i);
  return r;
}

inline Vec set1(float x) { return {{x, x, x, x}}; }
inline Vec zero() { return set1(0.0f); }
inline Vec load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
inline Vec load(const float* p, Tail t) {
  return lanes([&](int i) { return i < t.n ? p[i] : 0.0f; });
}
inline Vec load(const Half* p) {
  return lanes([&](int i) { return half_to_float(p[i]); });
}
inline Vec load(const Half* p, Tail t) {
  return lanes([&](int i) { return i < t.n ? half_to_float(p[i]) : 0.0f; });
}
inline void store(float* p, Vec a) { std::memcpy(p, a.v, sizeof(a.v)); }
inline void store(float* p, Vec a, Tail t) {
  for (int i = 0; i < t.n; ++i) p[i] = a.v[i];
}
inline void store(Half* p, Vec a, Tail t) {
  for (int i = 0; i < t.n; ++i) p[i] = float_to_half(a.v[i]);
}
inline void store(Half* p, Vec a) { store(p, a, Tail(kWidth)); }

inline Vec operator+(Vec a, Vec b) {
  return lanes([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return lanes([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return lanes([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return lanes([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vec fma(Vec a, Vec b, Vec c) {
#ifdef __FP_FAST_FMAF
  return lanes([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
#else
  return lanes([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
#endif
}
inline Vec fnma(Vec a, Vec b, Vec c) {
#ifdef __FP_FAST_FMAF
  return lanes([&](int i) { return std::fma(-a.v[i], b.v[i], c.v[i]); });
#else
  return lanes([&](int i) { return c.v[i] - a.v[i] * b.v[i]; });
#endif
}
inline Vec max(Vec a, Vec b) {
  return lanes([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec min(Vec a, Vec b) {
  return lanes([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec abs(Vec a) {
  return lanes([&](int i) { return std::fabs(a.v[i]); });
}
inline Vec floor(Vec a) {
  return lanes([&](int i) { return std::floor(a.v[i]); });
}

inline Mask less(Vec a, Vec b) {
  Mask r;
  for (int i = 0; i < kWidth; ++i) r.m[i] = a.v[i] < b.v[i] ? ~0u : 0u;
  return r;
}
inline Mask at_least(Vec a, Vec b) {
  Mask r;
  for (int i = 0; i < kWidth; ++i) r.m[i] = a.v[i] >= b.v[i] ? ~0u : 0u;
  return r;
}
inline Mask operator&(Mask a, Mask b) {
  Mask r;
  for (int i = 0; i < kWidth; ++i) r.m[i] = a.m[i] & b.m[i];
  return r;
}
inline Mask operator|(Mask a, Mask b) {
  Mask r;
  for (int i = 0; i < kWidth; ++i) r.m[i] = a.m[i] | b.m[i];
  return r;
}
inline Vec select(Mask m, Vec a, Vec b) {
  uint32_t x[4], y[4];
  std::memcpy(x, a.v, sizeof(x));
  std::memcpy(y, b.v, sizeof(y));
  for (int i = 0; i < kWidth; ++i) x[i] = (x[i] & m.m[i]) | (y[i] & ~m.m[i]);
  std::memcpy(a.v, x, sizeof(x));
  return a;
}
inline Vec keep(Mask m, Vec a) { return select(m, a, zero()); }
inline int count(Mask m) {
  return static_cast<int>((m.m[0] & 1) + (m.m[1] & 1) + (m.m[2] & 1) + (m.m[3] & 1));
}
inline bool any(Mask m) { return (m.m[0] | m.m[1] | m.m[2] | m.m[3]) != 0; }

inline void prefetch(const void*) {}

inline float square_root(float x) { return std::sqrt(x); }
inline float sum(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
inline float largest(Vec a) {
  const Vec b = max(a, Vec{{a.v[2], a.v[3], a.v[0], a.v[1]}});
  return b.v[0] > b.v[1] ? b.v[0] : b.v[1];
}
// The sums of a, b, c and d at p[0] .. p[3].
inline void sum4(float* p, Vec a, Vec b, Vec c, Vec d) {
  const float sums[4] = {sum(a), sum(b), sum(c), sum(d)};
  std::memcpy(p, sums, sizeof(sums));
}

// out[k] += the sum of v[k]'s lanes, for ten vectors.
inline void add_sums(const Vec (&v)[10], float* out) {
  for (int k = 0; k < 10; ++k) out[k] += sum(v[k]);
}

// Lanes truncated to int32, kept as bits.
inline Vec int_bits(Vec a) {
  int32_t words[4];
  for (int i = 0; i < kWidth; ++i) words[i] = static_cast<int32_t>(a.v[i]);
  std::memcpy(a.v, words, sizeof(words));
  return a;
}
inline void store_bits(int32_t* p, Vec a) { std::memcpy(p, a.v, sizeof(a.v)); }
// The lanes of m side by side, and then zeros.
inline Vec compress(Mask m, Vec a) {
  Vec r = zero();
  int n = 0;
  for (int i = 0; i < kWidth; ++i) {
    if (m.m[i]) std::memcpy(&r.v[n++], &a.v[i], sizeof(float));
  }
  return r;
}
inline void compress(void* p, Mask m, Vec a) {
  a = compress(m, a);
  std::memcpy(p, a.v, sizeof(a.v));
}
// Lane i of a, b, c and d side by side at p + interleaved(i).
inline void interleave(float* p, Vec a, Vec b, Vec c, Vec d) {
  for (int i = 0; i < kWidth; ++i) {
    const float together[4] = {a.v[i], b.v[i], c.v[i], d.v[i]};
    std::memcpy(p + 4 * i, together, sizeof(together));
  }
}
struct Quad {
  Vec a, b, c, d;
};
// p[0] .. p[3], each in all lanes.
template <int kSize>
inline Quad spread(const float* p) {
  return {set1(p[0]), set1(p[1]), set1(p[2]), set1(p[3])};
}
// p = x0 y0 x1 y1 ...
inline void load_pairs(const float* p, Vec& x, Vec& y) {
  x = {{p[0], p[2], p[4], p[6]}};
  y = {{p[1], p[3], p[5], p[7]}};
}

// a * 2^n, for n in the low bits of `power`, as adding 1.5 * 2^23 leaves it there.
inline Vec scale_by_power(Vec a, Vec power) {
  uint32_t words[4], powers[4];
  std::memcpy(words, a.v, sizeof(words));
  std::memcpy(powers, power.v, sizeof(powers));
  for (int i = 0; i < kWidth; ++i) words[i] += powers[i] << 23;
  std::memcpy(a.v, words, sizeof(words));
  return a;
}

inline Vec exp2(Vec a) {
  return lanes([&](int i) { return std::exp2(a.v[i]); });
}
inline Vec exp(Vec a) {
  return lanes([&](int i) { return std::exp(a.v[i]); });
}

}  // namespace geolrm::plain
