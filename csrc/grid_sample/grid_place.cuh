// ONNX GridSample, mode linear: where a normalised coordinate falls along one axis.
//
// Included like tent_taps.h; scalars alone.

struct AxisTaps {
  int first, second;    // indices of the two taps, always inside
  float before, after;  // their weights; 0 where a tap counts as zero
};

// x in [-1, 1] covers `side` pixels: their centres where align_corners, else their outer edges.
// border repeats the outermost pixels, otherwise what lies outside is zero. NaN, as in ONNX
// Runtime's and torch's kernels, is outside or at the first pixel.
GEOLRM_ARITHMETIC AxisTaps place_axis(float x, int side, bool align_corners, bool border) {
  const float count = static_cast<float>(side), last = count - 1.0f;
  float at = align_corners ? (x + 1.0f) * 0.5f * last : ((x + 1.0f) * count - 1.0f) * 0.5f;
  if (border) {
    at = min(max(at, 0.0f), last);
    if (!(at == at)) at = 0.0f;
  } else if (!(at > -1.0f && at < count)) {
    return {0, 0, 0.0f, 0.0f};
  }
  const float base = floor(at), after = at - base;
  const int first = static_cast<int>(base), second = first + 1;
  AxisTaps r = {first, second, 1.0f - after, after};
  if (first < 0) {
    r.first = 0;
    r.before = 0.0f;
  }
  if (second >= side) {
    r.second = side - 1;
    r.after = 0.0f;
  }
  return r;
}
