// Renders views of a model, and takes an image's gradients back to its splats. The stages are those
// of the GPU's kernels (splat.cuh), by the same names:
//
//   stage     what it does                                CPU                       GPU
//   project   depth key and box of every splat            project.h                 project.cu
//   sort      by depth                                    sort.h, each tile         sort.cu
//   bin       splats to tiles, those to blocks or cells   tile_lists.h, bin.h       bin.cu
//   blend     front to back                               blend.h                   blend.cu
//
// The CPU bins before it sorts: a tile sorts no more of its list than its pixels ask for.
#pragma once

#include "frame.h"
#include "splat_gradient.h"

namespace geolrm::raster {

void render_view(const Frame& frame, Image image);

// Adds dL/d(splats) of one view, given dL/d(image), and dL/d(its camera) where `camera` is given.
// The same bits for any number of threads.
void render_view_backward(const Frame& frame, const ImageGradients& image,
                          const SplatGradients& out, CameraGradient* camera = nullptr);

// Renders a view, compares it with its target, and adds the gradients of that loss likewise;
// returns the loss. The same as rendering and going back with the loss's gradients, in one walk.
double compare_view(const Frame& frame, const ImageTarget& target, const SplatGradients& out,
                    CameraGradient* camera = nullptr);

}  // namespace geolrm::raster
