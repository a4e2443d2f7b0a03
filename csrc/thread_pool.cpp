#include "thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace geolrm {
namespace {

struct Job {
  const std::function<void(int64_t, int64_t, int)>* body = nullptr;
  int64_t count = 0;
  int64_t grain = 1;
  std::atomic<int64_t> next{0};
  std::mutex error_mutex;
  std::exception_ptr error;

  void run(int worker) {
    try {
      for (;;) {
        const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= count) return;
        (*body)(begin, std::min(begin + grain, count), worker);
      }
    } catch (...) {
      next.store(count, std::memory_order_relaxed);
      std::lock_guard<std::mutex> lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  }
};

class Pool {
 public:
  void run(Job& job, int workers) {
    std::lock_guard<std::mutex> one_job_at_a_time(call_mutex_);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while (static_cast<int>(threads_.size()) < workers - 1) {
        const int worker = static_cast<int>(threads_.size()) + 1;
        threads_.emplace_back([this, worker] { loop(worker); });
      }
      job_ = &job;
      workers_ = workers;
      running_ = workers - 1;
      ++generation_;
    }
    wake_.notify_all();
    job.run(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
    job_ = nullptr;
  }

 private:
  void loop(int worker) {
    uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return generation_ != seen && worker < workers_; });
      seen = generation_;
      if (job_ == nullptr) continue;
      Job* job = job_;
      lock.unlock();
      job->run(worker);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex call_mutex_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  Job* job_ = nullptr;
  int workers_ = 0;
  int running_ = 0;
  uint64_t generation_ = 0;
};

struct OwnedPool {
  long process;
  Pool pool;
};

long this_process() {
#if defined(__unix__) || defined(__APPLE__)
  return static_cast<long>(getpid());
#else
  return 0;
#endif
}

Pool& pool() {
  // Never destroyed: joining threads from a static destructor deadlocks on some platforms. A forked
  // child has the pool's memory but none of its threads, so it gets its own: without a lock, which
  // another thread of the parent may have held.
  static std::atomic<OwnedPool*> instance{nullptr};
  OwnedPool* current = instance.load(std::memory_order_acquire);
  while (current == nullptr || current->process != this_process()) {
    OwnedPool* made = new OwnedPool{this_process(), {}};
    if (instance.compare_exchange_strong(current, made, std::memory_order_acq_rel))
      return made->pool;
    delete made;  // another thread was first; no thread has started in this one
  }
  return current->pool;
}

}  // namespace

int resolve_threads(int threads) {
  const int cores = std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
  return threads > 0 ? std::min(threads, std::max(cores, kMostThreads)) : cores;
}

void parallel_for(int64_t count, int64_t grain, int threads,
                  const std::function<void(int64_t, int64_t, int)>& body) {
  if (count <= 0) return;
  Job job;
  job.body = &body;
  job.count = count;
  job.grain = std::max<int64_t>(grain, 1);
  const int64_t chunks = (count + job.grain - 1) / job.grain;
  const int workers = static_cast<int>(std::min<int64_t>(resolve_threads(threads), chunks));
  if (workers <= 1) {
    job.run(0);
  } else {
    pool().run(job, workers);
  }
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace geolrm
