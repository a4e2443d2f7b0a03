#include "refinement/adam.h"

#include <cmath>

#include "thread_pool.h"

namespace geolrm {
namespace {

// `rate(i)` of number i. A loop without branches: the compiler makes vectors of it.
template <class Rate>
void step_range(const AdamArrays& a, const AdamNumbers& n, int64_t begin, int64_t end,
                const Rate& rate) {
  for (int64_t i = begin; i < end; ++i) {
    const float g = a.gradient[i];
    const float mean = a.mean[i] + n.first * (g - a.mean[i]);
    const float square = a.square[i] + n.second * (g * g - a.square[i]);
    a.mean[i] = mean;
    a.square[i] = square;
    a.values[i] -= rate(i) * mean / (std::sqrt(square / n.square_bias) + n.floor);
  }
}

}  // namespace

void step_adam(const AdamArrays& arrays, const AdamNumbers& numbers, int threads) {
  constexpr int64_t kGrain = 1 << 16;
  parallel_for(arrays.size, kGrain, threads, [&](int64_t begin, int64_t end, int) {
    if (arrays.period == 1) {
      const float one = arrays.rates[0];
      step_range(arrays, numbers, begin, end, [one](int64_t) { return one; });
    } else {
      step_range(arrays, numbers, begin, end,
                 [&](int64_t i) { return arrays.rates[i % arrays.period]; });
    }
  });
}

}  // namespace geolrm
