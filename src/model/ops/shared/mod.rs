//! What several families share: arithmetic on known elements, dimensions, sliding windows.

pub(super) mod content;
pub(super) mod dims;
pub(super) mod window;
