//! The process: wires the rooms together, is started on demand, found again by later processes, and ends by itself.
