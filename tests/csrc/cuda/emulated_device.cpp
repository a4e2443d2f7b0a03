// Fibers for a block's threads, scheduled in a shuffled order, so that a missing barrier shows.
#include "emulated_device.h"

#include <ucontext.h>

#include <csetjmp>
#include <memory>
#include <utility>
#include <vector>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {
namespace {

constexpr size_t kStack = 256 << 10;
constexpr int kMaxArguments = 40;
constexpr unsigned char kCanary = 0xA5;
constexpr size_t kCanaryBytes = 256;

enum Outcome { kDone, kDeadlock, kSharedOverrun, kBadLaunch };

// Threads that meet: released when all who have not returned are there.
struct Meeting {
  int alive = 0, arrived = 0;
  unsigned generation = 0;
};

struct Fiber {
  ucontext_t entry;
  jmp_buf at;
  bool started, returned;
  uint3 index;
};

struct Device {
  std::vector<Fiber> fibers;
  std::vector<std::unique_ptr<char[]>> stacks;
  std::vector<int> order;
  Meeting block;
  std::vector<Meeting> warps, rows;      // rows of threads, by threadIdx.y
  std::vector<uint64_t> sent, received;  // [threads]
  std::vector<unsigned char> shared;
  unsigned char* shared_begin = nullptr;
  size_t shared_bytes = 0;
  jmp_buf scheduler;
  int current = 0, left = 0, cursor = 0;
  bool progress = false;
  int any = 0;
  std::vector<int> any_of_row;
  unsigned random = 1;
  void* kernel = nullptr;
  long long arguments[kMaxArguments] = {};
};
Device device;

unsigned next_random() {
  device.random = device.random * 1664525u + 1013904223u;
  return device.random >> 8;
}

void yield() {
  if (_setjmp(device.fibers[device.current].at) == 0) _longjmp(device.scheduler, 1);
}

void release_if_full(Meeting& meeting) {
  if (meeting.arrived == 0 || meeting.arrived < meeting.alive) return;
  meeting.arrived = 0;
  ++meeting.generation;
  device.progress = true;
}

void meet(Meeting& meeting) {
  const unsigned generation = meeting.generation;
  ++meeting.arrived;
  release_if_full(meeting);
  while (meeting.generation == generation) yield();
}

// Integers and pointers alone, so every argument may be passed as 64 bits.
template <size_t... kAt>
void call(std::index_sequence<kAt...>) {
  using Kernel = void (*)(decltype(static_cast<void>(kAt), 0ll)...);
  reinterpret_cast<Kernel>(device.kernel)(device.arguments[kAt]...);
}

void run_thread() {
  call(std::make_index_sequence<kMaxArguments>());
  const int thread = device.current;
  device.fibers[thread].returned = true;
  --device.left;
  device.progress = true;
  Meeting& warp = device.warps[thread / 32];
  --warp.alive;
  release_if_full(warp);
  Meeting& row = device.rows[threadIdx.y];
  --row.alive;
  release_if_full(row);
  --device.block.alive;
  release_if_full(device.block);
  device.sent[thread] = 0;
  _longjmp(device.scheduler, 1);
}

void shuffle(std::vector<int>& order) {
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[next_random() % i]);
}

Outcome run_block() {
  const int threads = static_cast<int>(device.fibers.size());
  // NaN in every float that is read before it is written.
  std::memset(device.shared_begin, 0xFF, device.shared_bytes);
  std::memset(device.shared_begin + device.shared_bytes, kCanary, kCanaryBytes);
  device.block = Meeting{threads};
  for (size_t w = 0; w < device.warps.size(); ++w) {
    const int first = static_cast<int>(w) * 32;
    device.warps[w] = Meeting{threads - first < 32 ? threads - first : 32};
  }
  device.rows.assign(blockDim.y, Meeting{static_cast<int>(blockDim.x * blockDim.z)});
  device.any_of_row.assign(blockDim.y, 0);
  for (int i = 0; i < threads; ++i) {
    Fiber& fiber = device.fibers[i];
    fiber.started = fiber.returned = false;
    const unsigned plane = blockDim.x * blockDim.y, at = static_cast<unsigned>(i);
    fiber.index = {at % blockDim.x, at % plane / blockDim.x, at / plane};
  }
  shuffle(device.order);
  device.left = threads;
  while (device.left > 0) {
    device.progress = false;
    for (device.cursor = 0; device.cursor < threads; ++device.cursor) {
      device.current = device.order[device.cursor];
      Fiber& fiber = device.fibers[device.current];
      if (fiber.returned) continue;
      threadIdx = fiber.index;
      if (_setjmp(device.scheduler) == 0) {
        if (fiber.started) _longjmp(fiber.at, 1);
        fiber.started = true;
        device.progress = true;
        setcontext(&fiber.entry);
      }
    }
    if (!device.progress) return kDeadlock;
  }
  for (size_t i = 0; i < kCanaryBytes; ++i) {
    if (device.shared_begin[device.shared_bytes + i] != kCanary) return kSharedOverrun;
  }
  return kDone;
}

}  // namespace

unsigned char* dynamic_shared() { return device.shared_begin; }
void meet_block() { meet(device.block); }
void meet_warp() { meet(device.warps[device.current / 32]); }
int lane() { return device.current % 32; }

bool meet_row(bool truth) {
  const unsigned y = threadIdx.y;  // of this fiber: others run while it waits
  Meeting& row = device.rows[y];
  int& any = device.any_of_row[y];
  any |= truth;
  meet(row);
  const bool result = any != 0;
  meet(row);
  any = 0;
  meet(row);
  return result;
}

const uint64_t* exchange(uint64_t value) {
  const int first = device.current / 32 * 32;
  const int current = device.current;
  device.sent[current] = value;
  meet_warp();
  // Copied for each lane: another may already be in the next exchange.
  static std::vector<uint64_t> copies;
  copies.resize(device.sent.size() * 32);
  uint64_t* const mine = copies.data() + current * 32;
  for (int i = 0; i < 32; ++i) mine[i] = device.sent[first + i];
  meet_warp();
  return mine;
}

uint16_t half_of_float(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  bits &= 0x7FFFFFFFu;
  if (bits > 0x7F800000u) return sign | 0x7E00u;
  if (bits >= 0x477FF000u) return sign | 0x7C00u;  // rounds to infinity
  if (bits < 0x38800000u) {                        // subnormal: 2^-24 is one unit
    float magnitude;
    std::memcpy(&magnitude, &bits, 4);
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(magnitude * 0x1p24f)));
  }
  bits += 0xFFFu + (bits >> 13 & 1u);
  return static_cast<uint16_t>(sign | (bits - 0x38000000u) >> 13);
}

float float_of_half(uint16_t half) {
  const float sign = half & 0x8000u ? -1.0f : 1.0f;
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
}

}  // namespace emulation

int __syncthreads_or(int truth) {
  using emulation::device;
  device.any |= truth != 0;
  emulation::meet_block();
  const int result = device.any;
  emulation::meet_block();
  device.any = 0;
  emulation::meet_block();
  return result;
}

// Runs a launch. The seed shuffles blocks and threads; the result must not depend on it.
extern "C" int emulate(void* kernel, const unsigned* grid, const unsigned* block, int shared_bytes,
                       const long long* arguments, int count, unsigned seed) {
  using namespace emulation;
  const size_t threads = static_cast<size_t>(block[0]) * block[1] * block[2];
  if (threads == 0 || threads > 1024 || shared_bytes > 48 << 10 || count > kMaxArguments) {
    return kBadLaunch;
  }
  device.kernel = kernel;
  std::memcpy(device.arguments, arguments, static_cast<size_t>(count) * sizeof(long long));
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  device.random = seed * 2654435761u + 1;
  device.shared_bytes = static_cast<size_t>(shared_bytes);
  device.shared.resize(device.shared_bytes + kCanaryBytes + 16);
  device.shared_begin = device.shared.data();
  while (reinterpret_cast<uintptr_t>(device.shared_begin) % 16) ++device.shared_begin;
  device.fibers.resize(threads);
  device.warps.resize((threads + 31) / 32);
  device.sent.assign(device.warps.size() * 32, 0);
  device.order.resize(threads);
  while (device.stacks.size() < threads) device.stacks.emplace_back(new char[kStack]);
  for (size_t i = 0; i < threads; ++i) device.order[i] = static_cast<int>(i);
  const size_t blocks = static_cast<size_t>(grid[0]) * grid[1] * grid[2];
  std::vector<int> turns(blocks);
  for (size_t i = 0; i < blocks; ++i) turns[i] = static_cast<int>(i);
  shuffle(turns);
  for (const int turn : turns) {
    const unsigned at = static_cast<unsigned>(turn), plane = grid[0] * grid[1];
    blockIdx = {at % grid[0], at % plane / grid[0], at / plane};
    for (size_t i = 0; i < threads; ++i) {
      ucontext_t& entry = device.fibers[i].entry;
      getcontext(&entry);
      entry.uc_stack.ss_sp = device.stacks[i].get();
      entry.uc_stack.ss_size = kStack;
      entry.uc_link = nullptr;
      makecontext(&entry, run_thread, 0);
    }
    const Outcome outcome = run_block();
    if (outcome != kDone) return outcome;
  }
  return kDone;
}
