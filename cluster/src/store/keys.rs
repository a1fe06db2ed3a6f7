//! Every key of the store, as one enum: its families, their persisted ordinals, and their encoding.
