// A growing buffer of trivial elements, aligned to a cache line and never shrunk between frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace geolrm::raster {

template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() { release(); }

  // At least `count` elements; what was there before is lost when it grows.
  T* reserve(int64_t count) {
    if (count > capacity_) {
      release();
      const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
      alignment_ = bytes >= kHugePage ? kHugePage : kAlignment;
      data_ = static_cast<T*>(::operator new(bytes, std::align_val_t(alignment_)));
      capacity_ = count;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
      // Splats are read in order of depth, all over memory: small pages would miss in the TLB.
      if (alignment_ == kHugePage) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
    }
    return data_;
  }

  // Grows to at least `count` elements and keeps the first `used`.
  T* extend(int64_t used, int64_t count) {
    if (count > capacity_) {
      AlignedBuffer larger;
      larger.reserve(count > 2 * capacity_ ? count : 2 * capacity_);
      for (int64_t i = 0; i < used; ++i) larger.data_[i] = data_[i];
      std::swap(data_, larger.data_);
      std::swap(capacity_, larger.capacity_);
      std::swap(alignment_, larger.alignment_);
    }
    return data_;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t capacity() const { return capacity_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

 private:
  static constexpr std::size_t kAlignment = 64, kHugePage = std::size_t{2} << 20;

  void release() {
    if (data_) ::operator delete(data_, std::align_val_t(alignment_));
    data_ = nullptr;
    capacity_ = 0;
  }

  T* data_ = nullptr;
  int64_t capacity_ = 0;
  std::size_t alignment_ = kAlignment;
};

}  // namespace geolrm::raster
