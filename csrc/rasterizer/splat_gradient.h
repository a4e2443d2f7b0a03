// Where the gradients go.
#pragma once

namespace geolrm::raster {

// dL/d(the caller's arrays), added to. Either colors or sh, as the model has.
struct SplatGradients {
  float* means;      // [N, 3]
  float* opacities;  // [N]
  float* scales;     // [N, 3]
  float* quats;      // [N, 4]
  float* colors;     // [N, 3] or null
  float* sh;         // [N, K, 3] or null
};

// dL/d(a camera). The increment moves world to camera from the left: a point x of the camera's
// frame (OpenCV axes) goes to exp(rotation) x + translation, so the camera turns about its own
// centre.
struct CameraGradient {
  double rotation[3] = {0, 0, 0};     // radians
  double translation[3] = {0, 0, 0};  // scene units
  double focal[2] = {0, 0};           // px, of fx and fy
};
constexpr int kCameraGradients = 8;
static_assert(sizeof(CameraGradient) == kCameraGradients * sizeof(double), "a row of an array");

}  // namespace geolrm::raster
