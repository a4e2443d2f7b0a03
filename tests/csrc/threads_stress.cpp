// The pool of threads and the network's operators under sanitizers: several threads of a caller at
// once, each with another number of workers, and the same bits as one thread gives alone.
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cpu_features.h"
#include "deformable_cross_attention/deformable_cross_attention.h"
#include "deformable_sampling/deformable_sampling.h"
#include "self_attention/self_attention.h"
#include "stress.h"
#include "thread_pool.h"
#include "value_projection/value_projection.h"

namespace {

using namespace geolrm;
using Floats = std::vector<float>;

constexpr int kCallers = 4, kRounds = 12;
constexpr int kThreads[] = {1, 2, 3, 8, 16, 64};
constexpr int64_t kViews = 3, kQueries = 700, kHeads = 2, kHeadDim = 24, kPoints = 2,
                  kChannels = 40;
constexpr int64_t kLevels[] = {9, 11, 5, 4};  // two levels
constexpr int64_t kPixels = 9 * 11 + 5 * 4, kWidth = kHeads * kHeadDim,
                  kSamples = kHeads * 2 * kPoints;

Floats random(int64_t count, unsigned seed, float low = -1, float high = 1) {
  std::mt19937 generator(seed);
  Floats result(static_cast<size_t>(count));
  for (float& value : result) value = low + (high - low) * stress::unit(generator);
  return result;
}

struct Inputs {
  Floats query = random(kQueries * kWidth, 1), key = random(kQueries * kWidth, 2),
         value = random(kQueries * kWidth, 3), features = random(kViews * kPixels * kChannels, 4),
         weight = random(kWidth * kChannels, 5), bias = random(kWidth, 6),
         points = random(kViews * kQueries * 2, 7, 0, 1),
         offsets = random(kQueries * kSamples * 2, 8, -3, 3),
         logits = random(kQueries * kSamples, 9), view_weight = random(kWidth, 10),
         planes = random(kViews * kPixels * kWidth, 11),
         gradient = random(kViews * kQueries * kWidth, 12);
  ValueProjection projection{weight.data(), bias.data(), kHeads, kHeadDim, kChannels};
};

// Every operator once, on so many threads; its results, one after the other.
Floats results(const Inputs& in, int threads, const std::string& isa) {
  Floats attended(kQueries * kWidth);
  self_attention({kQueries, kHeads, kHeadDim, in.query.data(), in.key.data(), in.value.data(),
                  attended.data()},
                 threads, isa);

  DeformableCrossAttention op{};
  op.views = kViews, op.queries = kQueries, op.heads = kHeads, op.head_dim = kHeadDim;
  op.levels = 2, op.points = kPoints, op.pixels = kPixels, op.level_shapes = kLevels;
  op.reference_points = in.points.data(), op.sampling_offsets = in.offsets.data();
  op.attention_logits = in.logits.data(), op.view_weight = in.view_weight.data();
  std::vector<uint8_t> touched(kViews * kPixels);
  mark_touched(op, touched.data(), threads, isa);
  Floats values(kViews * kPixels * kWidth, 0.0f), fused(kQueries * kWidth);
  in.projection.project(in.features.data(), touched.data(), values.data(), kViews, kPixels, threads,
                        isa);
  op.values = values.data(), op.out = fused.data();
  deformable_cross_attention(op, threads, isa);

  const DeformableSampling sampling = {kViews,
                                       kQueries,
                                       kHeads,
                                       kHeadDim,
                                       2,
                                       kPoints,
                                       kPixels,
                                       kLevels,
                                       in.planes.data(),
                                       in.points.data(),
                                       in.offsets.data(),
                                       in.logits.data()};
  Floats sampled(kViews * kQueries * kWidth), planes(in.planes.size(), 0.0f),
      offsets(in.offsets.size(), 0.0f), weights(in.logits.size(), 0.0f);
  deformable_sampling(sampling, sampled.data(), threads, isa);
  deformable_sampling_backward(
      sampling, {in.gradient.data(), planes.data(), offsets.data(), weights.data()}, threads, isa);

  Floats all(touched.begin(), touched.end());
  for (const Floats* part : {&attended, &values, &fused, &sampled, &planes, &offsets, &weights}) {
    all.insert(all.end(), part->begin(), part->end());
  }
  return all;
}

// What a body throws arrives at its own caller, and the pool serves on.
void fail_and_go_on(int threads) {
  try {
    parallel_for(1000, 1, threads, [](int64_t begin, int64_t, int) {
      if (begin == 500) throw std::invalid_argument("500");
    });
  } catch (const std::invalid_argument&) {
    std::atomic<int64_t> sum{0};
    parallel_for(1000, 7, threads, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) sum += i;
    });
    if (sum != 499500) throw std::runtime_error("a chunk was left out, or done twice");
    return;
  }
  throw std::runtime_error("the error of a body was lost");
}

void check(const std::string& isa, stress::Results& all) {
  const Inputs inputs;
  std::vector<std::thread> callers;
  std::vector<std::string> errors(kCallers);
  std::vector<Floats> expected(kCallers);
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      try {
        expected[caller] = results(inputs, 1, isa);
        for (int round = 0; round < kRounds; ++round) {
          const int threads = kThreads[(round + caller) % 6];
          const Floats found = results(inputs, threads, isa);
          if (std::memcmp(found.data(), expected[caller].data(), 4 * found.size()) != 0) {
            throw std::runtime_error(std::to_string(threads) + " threads give other bits");
          }
          fail_and_go_on(threads);
        }
      } catch (const std::exception& error) {
        errors[caller] = error.what();
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const std::string& error : errors) {
    if (!error.empty()) throw std::runtime_error(error);
  }
  all.add(isa.c_str(), "operators", expected[0]);
}

}  // namespace

int main(int count, char** words) {
  stress::Results all(count > 1 ? words[1] : nullptr);
  for (Isa isa : stress::isas()) {
    check(isa_name(isa), all);
    std::printf("threads_stress, %s: clean, %016" PRIx64 "\n", isa_name(isa), all.hash());
  }
  return 0;
}
