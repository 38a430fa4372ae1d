//! What several families share: arithmetic on known elements, dimensions, sliding windows.

pub mod content;
pub mod dims;
pub mod window;
