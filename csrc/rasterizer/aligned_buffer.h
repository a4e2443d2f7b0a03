// A growing buffer of trivial elements, aligned to a cache line and never shrunk between frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

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
      data_ = static_cast<T*>(::operator new(bytes, std::align_val_t(kAlignment)));
      capacity_ = count;
    }
    return data_;
  }

  // Grows to at least `count` elements and keeps the first `used`.
  T* extend(int64_t used, int64_t count) {
    if (count > capacity_) {
      AlignedBuffer larger;
      larger.reserve(count > 2 * capacity_ ? count : 2 * capacity_);
      for (int64_t i = 0; i < used; ++i) larger.data_[i] = data_[i];
      T* const data = data_;
      const int64_t capacity = capacity_;
      data_ = larger.data_;
      capacity_ = larger.capacity_;
      larger.data_ = data;
      larger.capacity_ = capacity;
    }
    return data_;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t capacity() const { return capacity_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

 private:
  static constexpr std::size_t kAlignment = 64;

  void release() {
    if (data_) ::operator delete(data_, std::align_val_t(kAlignment));
    data_ = nullptr;
    capacity_ = 0;
  }

  T* data_ = nullptr;
  int64_t capacity_ = 0;
};

}  // namespace geolrm::raster
