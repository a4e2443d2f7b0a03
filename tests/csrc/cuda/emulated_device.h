// A CUDA device on the host, for tests: the kernels' own source runs, every thread of a block as a
// fiber that yields at barriers. One warp function after another is as strict as the hardware:
// all of a warp's threads that have not returned must meet in it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define GEOLRM_KERNEL extern "C" void
#define GEOLRM_BOUNDS(threads, blocks)
#define GEOLRM_DEVICE static inline
#define GEOLRM_METHOD
#define GEOLRM_SHARED static
#define GEOLRM_DYNAMIC_SHARED(name) unsigned char* const name = emulation::dynamic_shared()

struct uint3 {
  unsigned x, y, z;
};
using dim3 = uint3;
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace emulation {

unsigned char* dynamic_shared();
void meet_block();
void meet_warp();
bool meet_row(bool truth);  // of the threads of one threadIdx.y
// Gives every lane all lanes' values; those of threads that have returned are zero.
const uint64_t* exchange(uint64_t value);
int lane();
uint16_t half_of_float(float x);
float float_of_half(uint16_t bits);

template <class T>
inline uint64_t pack(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
inline T unpack(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace emulation

inline void __syncthreads() { emulation::meet_block(); }
inline void __syncwarp(unsigned = ~0u) { emulation::meet_warp(); }

template <class T>
inline T __shfl_sync(unsigned, T value, int from) {
  return emulation::unpack<T>(emulation::exchange(emulation::pack(value))[from & 31]);
}
template <class T>
inline T __shfl_xor_sync(unsigned, T value, int mask) {
  return __shfl_sync(~0u, value, emulation::lane() ^ mask);
}
template <class T>
inline T __shfl_up_sync(unsigned, T value, unsigned step) {
  const int from = emulation::lane() - static_cast<int>(step);
  return __shfl_sync(~0u, value, from < 0 ? emulation::lane() : from);
}
inline unsigned __ballot_sync(unsigned, int truth) {
  const uint64_t* const values = emulation::exchange(truth != 0);
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<unsigned>(values[i]) << i;
  return bits;
}
template <class T>
inline unsigned __match_any_sync(unsigned, T value) {
  const uint64_t mine = emulation::pack(value);
  const uint64_t* const values = emulation::exchange(mine);
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<unsigned>(values[i] == mine) << i;
  return bits;
}
inline int __any_sync(unsigned, int truth) { return __ballot_sync(~0u, truth) != 0; }
int __syncthreads_or(int truth);

template <class T>
inline T atomicAdd(T* at, T value) {
  const T before = *at;
  *at = before + value;
  return before;
}
template <class T>
inline T atomicOr(T* at, T value) {
  const T before = *at;
  *at = before | value;
  return before;
}

template <class T>
inline T atomicMax(T* at, T value) {
  const T before = *at;
  if (before < value) *at = value;
  return before;
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __clz(int bits) { return bits ? __builtin_clz(static_cast<unsigned>(bits)) : 32; }
inline int __ffs(unsigned bits) { return __builtin_ffs(static_cast<int>(bits)); }
inline unsigned __float_as_uint(float x) { return emulation::unpack<unsigned>(emulation::pack(x)); }
inline float __uint_as_float(unsigned x) { return emulation::unpack<float>(x); }

struct float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
