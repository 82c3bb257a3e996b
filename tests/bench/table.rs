//! Figures with their spread, against the budgets.

/// Several readings of one thing.
#[derive(Debug, Clone)]
pub struct Figure {
    name: String,
    unit: &'static str,
    readings: Vec<f64>,
    budget: &'static str,
}

impl Figure {
    pub fn new(name: impl Into<String>, unit: &'static str, mut readings: Vec<f64>) -> Self {
        readings.sort_by(f64::total_cmp);
        Self { name: name.into(), unit, readings, budget: "" }
    }

    pub fn one(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self::new(name, unit, vec![value])
    }

    pub fn budget(mut self, budget: &'static str) -> Self {
        self.budget = budget;
        self
    }

    pub fn at(&self, part: f64) -> f64 {
        let last = self.readings.len().saturating_sub(1);
        self.readings.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

pub fn median(readings: &[f64]) -> f64 {
    Figure::new("", "", readings.to_vec()).at(0.5)
}

pub fn print(figures: &[Figure]) {
    println!("{:52} {:>10} {:>10} {:>10} {:7} {:>4}  BUDGET", "FIGURE", "P10", "MEDIAN", "P90", "UNIT", "N");
    for f in figures {
        let cell = |part| format!("{:.3}", f.at(part));
        let (low, middle, high) = (cell(0.1), cell(0.5), cell(0.9));
        println!(
            "{:52} {low:>10} {middle:>10} {high:>10} {:7} {:>4}  {}",
            f.name,
            f.unit,
            f.readings.len(),
            f.budget
        );
    }
}
