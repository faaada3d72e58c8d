//! Solving for the blocks that are lost.
//!
//! Invariant: a recovery block that says nothing new is left out, and another one is taken: not all matrices of the specification can be
//! inverted.

use crate::field::{add_products, inverse};

/// How the unknown blocks are computed.
#[derive(Debug)]
pub(crate) struct Solution {
    /// Which equations are used.
    pub(crate) equations: Vec<usize>,
    /// For each unknown, the factor of each of these equations.
    pub(crate) factors: Vec<Vec<u16>>,
}

/// An equation, reduced: the factors of the unknowns, and then those of the equations that it is the sum of.
struct Row {
    factors: Vec<u16>,
    /// The unknown that it gives.
    unknown: usize,
}

/// Takes as many equations as there are unknowns, in their order, and solves them; `None` if they are not enough. `equation` gives
/// the factor of each unknown. `proceed` says whether to go on; if not, there is no solution either.
pub(crate) fn solve(
    unknowns: usize,
    equations: usize,
    equation: impl Fn(usize) -> Vec<u16>,
    proceed: impl Fn() -> bool,
) -> Option<Solution> {
    let mut rows: Vec<Row> = Vec::new();
    let mut used = Vec::new();
    for number in 0..equations {
        if used.len() == unknowns {
            break;
        }
        if !proceed() {
            return None;
        }
        let mut factors = equation(number);
        factors.resize(2 * unknowns, 0);
        factors[unknowns + used.len()] = 1;
        for row in &rows {
            add_products(factors[row.unknown], &row.factors, &mut factors);
        }
        let Some(unknown) = factors[..unknowns].iter().position(|&factor| factor != 0) else {
            continue;
        };
        let mut normal = vec![0; factors.len()];
        add_products(inverse(factors[unknown]), &factors, &mut normal);
        for row in &mut rows {
            add_products(row.factors[unknown], &normal, &mut row.factors);
        }
        rows.push(Row { factors: normal, unknown });
        used.push(number);
    }
    if used.len() < unknowns {
        return None;
    }
    rows.sort_unstable_by_key(|row| row.unknown);
    let factors = rows.into_iter().map(|row| row.factors[unknowns..].to_vec()).collect();
    Some(Solution { equations: used, factors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{constants, product, raised};

    #[test]
    fn solutions_give_the_unknowns_even_if_an_equation_says_nothing_new() {
        let unknowns = [3_u16, 0xFFFF, 77, 0x8001, 0];
        let constants = constants(50);
        let of = |exponent: u16| -> Vec<u16> {
            [0, 7, 8, 30, 49].map(|at: usize| raised(constants[at], exponent)).to_vec()
        };
        // The second equation is the first one again.
        let equation = |number: usize| of([0, 0, 5, 1, 900, 3, 4][number]);
        let value = |number| {
            equation(number).iter().zip(unknowns).fold(0, |sum, (&a, b)| sum ^ product(a, b))
        };
        let solution = solve(5, 7, equation, || true).unwrap();
        assert_eq!(solution.equations, [0, 2, 3, 4, 5]);
        for (factors, expected) in solution.factors.iter().zip(unknowns) {
            let products = factors.iter().zip(&solution.equations);
            let found = products.fold(0, |sum, (&factor, &at)| sum ^ product(factor, value(at)));
            assert_eq!(found, expected);
        }
        assert!(solve(5, 5, equation, || true).is_none());
        assert!(solve(5, 7, equation, || false).is_none());
    }
}
