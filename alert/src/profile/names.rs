//! A small map from names: sorted, and no larger than what is in it.

#[derive(Debug, Clone)]
pub struct Names<T>(Vec<(Box<str>, T)>);

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Names<T> {
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(have, _)| (**have).cmp(name))
    }

    pub fn get(&self, name: &str) -> Option<&T> {
        self.place(name).ok().map(|at| &self.0[at].1)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.place(name).ok().map(|at| &mut self.0[at].1)
    }

    pub fn or_insert(&mut self, name: &str) -> &mut T
    where
        T: Default,
    {
        let at = self.place(name).unwrap_or_else(|at| {
            self.0.reserve_exact(1);
            self.0.insert(at, (name.into(), T::default()));
            at
        });
        &mut self.0[at].1
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub fn take(&mut self) -> impl Iterator<Item = (Box<str>, T)> + use<T> {
        std::mem::take(&mut self.0).into_iter()
    }

    /// Its own memory and that of names, without what values point to.
    pub fn bytes(&self) -> usize {
        let names: usize = self.0.iter().map(|(name, _)| super::allocated(name.len())).sum();
        names + super::allocated(self.0.capacity() * size_of::<(Box<str>, T)>())
    }
}
