"""Cameras, similarities and the voxel grid."""
