//! The product of two matrices by divide and conquer. A task with large blocks is split into eight tasks.
//!
//! The workers share the two factors, which do not change. They send the parts of the product to the master. All values
//! are integers far below 2^53, so sums are exact in any order.
//!
//! No deadlock: see `pool.rs`.

use std::sync::Arc;

use kahn::actor::ExitReason;

use crate::bench::{Bench, Random, Size, check};
use crate::pool::{self, Job, Report};

pub const BENCH: Bench =
    Bench { name: "matrix-product", about: "divide and conquer by a master and workers", run };

/// A square matrix, row by row.
struct Matrix {
    side: usize,
    values: Vec<f64>,
}

impl Matrix {
    fn random(side: usize, random: &mut Random) -> Matrix {
        Matrix { side, values: (0..side * side).map(|_| random.below(16) as f64).collect() }
    }

    fn row(&self, row: usize, from: usize, columns: usize) -> &[f64] {
        &self.values[row * self.side + from..][..columns]
    }

    fn times(&self, vector: &[f64]) -> Vec<f64> {
        let rows = self.values.chunks(self.side);
        rows.map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
    }
}

struct Product {
    a: Matrix,
    b: Matrix,
    /// Larger blocks are split.
    max_block: usize,
}

/// A task: to multiply the block of `a` at (row, inner) with the block of `b` at (inner, column).
struct Blocks {
    row: usize,
    inner: usize,
    column: usize,
    side: usize,
    depth: u32,
}

/// A block that is added to the product.
struct Part {
    row: usize,
    column: usize,
    side: usize,
    values: Vec<f64>,
}

impl Job for Product {
    type Task = Blocks;
    type Partial = Part;
    type Total = Matrix;

    fn execute(&self, blocks: Blocks, report: &Report<Self>) -> Result<(), ExitReason> {
        let Blocks { row, inner, column, side, depth } = blocks;
        if side * side <= self.max_block {
            return report.add_result(Part { row, column, side, values: self.multiply(&blocks) });
        }
        let half = side / 2;
        let depth = depth + 1;
        for eighth in 0..8 {
            let shift = |bit: usize| half * (eighth >> bit & 1);
            let (row, inner, column) = (row + shift(0), inner + shift(1), column + shift(2));
            // Smaller blocks have a higher priority, which keeps the queue short.
            report.add_task(depth, Blocks { row, inner, column, side: half, depth })?;
        }
        Ok(())
    }

    fn add(&self, product: &mut Matrix, part: Part) {
        for (i, from) in part.values.chunks(part.side).enumerate() {
            let to = &mut product.values[(part.row + i) * product.side + part.column..];
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
    }
}

impl Product {
    fn multiply(&self, blocks: &Blocks) -> Vec<f64> {
        let side = blocks.side;
        let mut product = vec![0.0; side * side];
        for (i, to) in product.chunks_mut(side).enumerate() {
            let factors = self.a.row(blocks.row + i, blocks.inner, side);
            for (k, factor) in factors.iter().enumerate() {
                let from = self.b.row(blocks.inner + k, blocks.column, side);
                to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
            }
        }
        product
    }
}

fn run(size: Size) -> Result<String, String> {
    let (side, max_block, workers) = size.pick((1024, 16_384, 20), (64, 64, 4));
    let mut random = Random::new(7);
    let (a, b) = (Matrix::random(side, &mut random), Matrix::random(side, &mut random));
    let vector: Vec<f64> = (0..side).map(|_| random.below(1000) as f64).collect();
    let product = Arc::new(Product { a, b, max_block });
    let whole = Blocks { row: 0, inner: 0, column: 0, side, depth: 0 };
    let zero = Matrix { side, values: vec![0.0; side * side] };
    let result = pool::run(product.clone(), workers, [whole], zero)?;
    // A cheap check: (a b) v = a (b v) for a random vector v.
    let expected = product.a.times(&product.b.times(&vector));
    check(result.times(&vector) == expected, "the product is wrong")?;
    Ok(format!("{side} × {side}, in blocks of {max_block} values"))
}
