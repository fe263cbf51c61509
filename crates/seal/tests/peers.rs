//! What we make and read, held against programs that others wrote.

#[cfg(test)]
#[path = "peers/oathtool.rs"]
mod oathtool;

#[cfg(test)]
#[path = "peers/pyjwt.rs"]
mod pyjwt;
