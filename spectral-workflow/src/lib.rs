//! Recipes, the command line, proofs and reports.
