//! Checkpoints that PyTorch wrote are read to the bit; those made to do harm are refused in time.

mod archives;
mod build;
mod files;
mod pickles;
mod random;
mod state_dicts;
