// Products of small matrices of float16 by a warp, on tensor cores, and what feeds them from shared
// memory. The emulation has no such cores: there lanes exchange their parts of the operands by
// shuffles, after PTX's layout of the fragments.
// Include it inside namespace geolrm, after "cuda/device.cuh".

#if defined(__CUDACC__) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define GEOLRM_AMPERE 1  // copies that nobody waits for, and products 16 deep
#else
#define GEOLRM_AMPERE 0
#endif

// Two neighbours in one register, the first in the lower half.
GEOLRM_DEVICE Bits narrow_both(float low, float high) {
#if GEOLRM_AMPERE
  Bits pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  Half first, second;
  narrow(low, first);
  narrow(high, second);
  return static_cast<Bits>(first.bits) | static_cast<Bits>(second.bits) << 16;
#endif
}

GEOLRM_DEVICE float power_of_two(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2f(x);
#endif
}

// Within a branch that is seldom taken: else the compiler has every thread choose for every value.
GEOLRM_DEVICE void keep_branch() {
#ifdef __CUDACC__
  asm volatile("");
#endif
}

// sum [16, 8] += a [16, 8] b [8, 8], of which lane l holds: of a in rows l / 4 and 8 + l / 4, and
// of b in column l / 4, the two neighbours from 2 (l % 4) on of the depth; of sum in those rows
// the columns from 2 (l % 4) on.
GEOLRM_DEVICE void multiply_8(float (&sum)[4], Bits top, Bits bottom, Bits b) {
#ifdef __CUDACC__
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
      "{%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(top), "r"(bottom), "r"(b));
#else
  const int lane = threadIdx.x & 31;
  for (int depth = 0; depth < 8; ++depth) {
    const int row = lane & ~3, column = 8 * (lane & 3), part = depth / 2;  // whose lanes hold them
    const Bits held[4] = {
        __shfl_sync(kAllLanes, top, row + part), __shfl_sync(kAllLanes, bottom, row + part),
        __shfl_sync(kAllLanes, b, column + part), __shfl_sync(kAllLanes, b, column + 4 + part)};
    float values[4];
    for (int i = 0; i < 4; ++i) {
      values[i] = widen(Half{static_cast<unsigned short>(held[i] >> 16 * (depth % 2))});
    }
    for (int i = 0; i < 4; ++i) sum[i] = fmaf(values[i / 2], values[2 + i % 2], sum[i]);
  }
#endif
}

// Twice as deep: of a the first half of the depth (top, bottom), then the second; of b the halves.
GEOLRM_DEVICE void multiply_16(float (&sum)[4], const Bits (&a)[4], Bits b0, Bits b1) {
#if GEOLRM_AMPERE
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  multiply_8(sum, a[0], a[1], b0);
  multiply_8(sum, a[2], a[3], b1);
#endif
}

// Four matrices [8, 8] of two bytes from shared memory: lane l gives the address of row l % 8 of
// matrix l / 8, 16 bytes, and gets of each matrix the columns 2 (l % 4) and the next in row l / 4;
// transposed, the rows 2 (l % 4) and the next in column l / 4.
template <bool kTransposed>
GEOLRM_DEVICE void load_matrices(const void* row, Bits (&out)[4]) {
#ifdef __CUDACC__
  const Bits at = static_cast<Bits>(__cvta_generic_to_shared(row));
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at)
                 : "memory");
  }
#else
  using Row = const unsigned short*;
  const int lane = threadIdx.x & 31, pair = 2 * (lane & 3);
  for (int matrix = 0; matrix < 4; ++matrix) {
    Bits items[2];
    for (int i = 0; i < 2; ++i) {
      const int from = kTransposed ? pair + i : lane >> 2,
                item = kTransposed ? lane >> 2 : pair + i;
      items[i] = __shfl_sync(kAllLanes, static_cast<Row>(row), 8 * matrix + from)[item];
    }
    out[matrix] = items[0] | items[1] << 16;
  }
#endif
}

// 16 bytes into shared memory, zeros where there is nothing to read; there after await_copies and
// a barrier.
GEOLRM_DEVICE void copy_16_bytes(void* to, const void* from, bool exists) {
#if GEOLRM_AMPERE
  const Bits at = static_cast<Bits>(__cvta_generic_to_shared(to));
  const Index source = static_cast<Index>(__cvta_generic_to_global(from));
  const Bits size = exists ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(at), "l"(source), "r"(size)
               : "memory");
#else
  *static_cast<int4*>(to) = exists ? *static_cast<const int4*>(from) : make_int4(0, 0, 0, 0);
#endif
}
GEOLRM_DEVICE void await_copies() {
#if GEOLRM_AMPERE
  asm volatile("cp.async.wait_all;" : : : "memory");
#endif
}
