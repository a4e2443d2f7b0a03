// What the kernels need of CUDA, and no header of it: NVRTC compiles them with this folder alone.
// Elsewhere "emulated_device.h" stands in for the device, so that a host can run the same source.
#pragma once

#ifdef __CUDACC__
#define GEOLRM_KERNEL extern "C" __global__ void
#define GEOLRM_BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)
#define GEOLRM_DEVICE static __device__ __forceinline__
#define GEOLRM_METHOD __device__ __forceinline__  // of a class
#define GEOLRM_SHARED __shared__
// The launch's dynamic shared memory, aligned to 16 bytes.
#define GEOLRM_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#else
#include "emulated_device.h"
#endif
#define GEOLRM_ARITHMETIC GEOLRM_DEVICE

namespace geolrm {

using Index = long long;
using Bits = unsigned int;
using Bits64 = unsigned long long;

// Floats as stored; arithmetic is float32 everywhere.
struct Half {
  unsigned short bits;
};
struct BFloat16 {
  unsigned short bits;
};

#ifdef __CUDACC__
GEOLRM_DEVICE float widen(Half x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}
GEOLRM_DEVICE void narrow(float x, Half& y) {
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
}
#else
GEOLRM_DEVICE float widen(Half x) { return emulation::float_of_half(x.bits); }
GEOLRM_DEVICE void narrow(float x, Half& y) { y.bits = emulation::half_of_float(x); }
#endif
GEOLRM_DEVICE float widen(float x) { return x; }
GEOLRM_DEVICE void narrow(float x, float& y) { y = x; }
GEOLRM_DEVICE float widen(BFloat16 x) { return __uint_as_float(static_cast<Bits>(x.bits) << 16); }
GEOLRM_DEVICE void narrow(float x, BFloat16& y) {
  const Bits bits = __float_as_uint(x);
  const Bits rounded = bits + 0x7FFFu + (bits >> 16 & 1u);  // to nearest, ties to even
  y.bits = static_cast<unsigned short>((x != x ? bits | 0x400000u : rounded) >> 16);
}

// kCount neighbours, read and written 16 bytes at a time or all at once: the address must be a
// multiple of that size.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount) Packet {
  T item[kCount];
};
template <class T, int kCount>
constexpr int kAtOnce = kCount * sizeof(T) <= 16 ? kCount : static_cast<int>(16 / sizeof(T));
template <class T, int kCount>
GEOLRM_DEVICE void load(const T* from, float (&to)[kCount]) {
  constexpr int kPart = kAtOnce<T, kCount>;
#pragma unroll
  for (int first = 0; first < kCount; first += kPart) {
    const Packet<T, kPart> packet = *reinterpret_cast<const Packet<T, kPart>*>(from + first);
#pragma unroll
    for (int i = 0; i < kPart; ++i) to[first + i] = widen(packet.item[i]);
  }
}
template <class T, int kCount>
GEOLRM_DEVICE void store(const float (&from)[kCount], T* to) {
  constexpr int kPart = kAtOnce<T, kCount>;
#pragma unroll
  for (int first = 0; first < kCount; first += kPart) {
    Packet<T, kPart> packet;
#pragma unroll
    for (int i = 0; i < kPart; ++i) narrow(from[first + i], packet.item[i]);
    *reinterpret_cast<Packet<T, kPart>*>(to + first) = packet;
  }
}

// The scalar names that shared arithmetic is written with.
using Real = float;
using Truth = bool;
GEOLRM_DEVICE bool less(float a, float b) { return a < b; }
GEOLRM_DEVICE float select(bool which, float a, float b) { return which ? a : b; }
GEOLRM_DEVICE float min(float a, float b) { return a < b ? a : b; }
GEOLRM_DEVICE float max(float a, float b) { return a > b ? a : b; }
GEOLRM_DEVICE float floor(float a) { return floorf(a); }
GEOLRM_DEVICE float abs(float a) { return fabsf(a); }

constexpr int kWarp = 32;
constexpr Bits kAllLanes = 0xFFFFFFFFu;

GEOLRM_DEVICE float warp_sum(float x) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// e^x of x <= 0, within 2^-22 and 2^-23 |x| of it, for softmaxes: two instructions.
GEOLRM_DEVICE float exponential(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.44269504f));
  return y;
#else
  return expf(x);
#endif
}

// `from` and `count` times `pitch` bytes: one instruction, where the compiler would take several.
template <class T>
GEOLRM_DEVICE const T* advance(const T* from, Bits count, Bits pitch) {
#ifdef __CUDACC__
  const T* to;
  asm("mad.wide.u32 %0, %1, %2, %3;" : "=l"(to) : "r"(count), "r"(pitch), "l"(from));
  return to;
#else
  return reinterpret_cast<const T*>(reinterpret_cast<const unsigned char*>(from) +
                                    static_cast<Bits64>(count) * pitch);
#endif
}

// kCount neighbours as they lie in memory, in whole registers.
template <class T, int kCount>
struct Words {
  Bits word[(sizeof(T) * kCount + 3) / 4];
};
GEOLRM_DEVICE float widen_at(const Bits* words, int i, float) { return __uint_as_float(words[i]); }
template <class T>
GEOLRM_DEVICE float widen_at(const Bits* words, int i, T) {
  const Bits word = words[i / 2];
  return widen(T{static_cast<unsigned short>(i % 2 ? word >> 16 : word & 0xFFFFu)});
}

// Reads them at once, from global memory that no thread writes; aligned as for load().
template <class T, int kCount>
GEOLRM_DEVICE Words<T, kCount> fetch(const T* from) {
  constexpr int kBytes = sizeof(T) * kCount;
  static_assert(kBytes == 2 || kBytes == 4 || kBytes == 8 || kBytes == 16, "one load");
  Words<T, kCount> to;
  Bits* const words = to.word;
#ifdef __CUDACC__
  if constexpr (kBytes == 16) {
    asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
        : "l"(from));
  } else if constexpr (kBytes == 8) {
    asm("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(words[0]), "=r"(words[1]) : "l"(from));
  } else if constexpr (kBytes == 4) {
    asm("ld.global.nc.u32 %0, [%1];" : "=r"(words[0]) : "l"(from));
  } else {
    asm("ld.global.nc.u16 %0, [%1];" : "=r"(words[0]) : "l"(from));
  }
#else
  words[0] = 0;
  __builtin_memcpy(words, from, kBytes);
#endif
  return to;
}
template <class T, int kCount>
GEOLRM_DEVICE void load_constant(const T* from, float (&to)[kCount]) {
  const Words<T, kCount> words = fetch<T, kCount>(from);
#pragma unroll
  for (int i = 0; i < kCount; ++i) to[i] = widen_at(words.word, i, T{});
}

// A barrier of the threads of one threadIdx.y, which are whole warps, of at most 15 such rows: each
// is told whether `truth` held for any of them.
#ifdef __CUDACC__
GEOLRM_DEVICE bool meet_row(bool truth, int threads) {
  int any;
  asm volatile(
      "{ .reg .pred p; setp.ne.s32 p, %1, 0; barrier.cta.red.or.aligned.pred p, %2, %3, p;\n"
      "  selp.s32 %0, 1, 0, p; }"
      : "=r"(any)
      : "r"(static_cast<int>(truth)), "r"(threadIdx.y + 1), "r"(threads)
      : "memory");
  return any != 0;
}
#else
GEOLRM_DEVICE bool meet_row(bool truth, int) { return emulation::meet_row(truth); }
#endif

}  // namespace geolrm
