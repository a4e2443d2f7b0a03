// Adam over the numbers of one parameter, as the refinement on the CPU steps it.
#pragma once

#include <cstdint>

namespace geolrm {

struct AdamArrays {
  float* values;          // [size]
  float* mean;            // [size], the first moment
  float* square;          // [size], the second
  const float* gradient;  // [size]
  int64_t size;
  const float* rates;  // [period]: number i moves by rates[i % period], after bias correction
  int64_t period;
};

struct AdamNumbers {
  float first, second;  // shares of the new gradient in the moments
  float square_bias;    // what the second moment is divided by
  float floor;          // added to the denominator
};

// One step in place. Each number is rounded as NumPy rounds the same formula, for any number of
// threads.
void step_adam(const AdamArrays& arrays, const AdamNumbers& numbers, int threads);

}  // namespace geolrm
