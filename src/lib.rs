pub mod domain;
pub mod lake;
pub mod tables;
