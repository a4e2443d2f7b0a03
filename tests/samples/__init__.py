"""Samples: small models, bundles, captures and training data that tests are made of.

========================= =====================================================================
module                    makes
========================= =====================================================================
tiny_models               models with random weights, and their bundles for the CPU
gpu_bundles               bundles with an artifact for GPUs, made without one
gpu_artifacts             what a manifest says of such an artifact, alone
gaussians                 50 random Gaussians
known_shapes              a box and a ball as Gaussians and points; captures of them to be scored
capture_files             the same posed images of the box in every form that captures come in
stored_objects            training objects the way their sources store them
engines                   the same bundles opened on every backend
hostile_text              a title that tries to run in a page
training                  recipes, meshes and runs that train a step in a fraction of a second
========================= =====================================================================
"""
