//! Layers and the network builder.
