//! Layers and networks through public interfaces; one binary, so that it links once.

mod gates;
mod layers;
mod network;
mod parts;
mod spectral;
