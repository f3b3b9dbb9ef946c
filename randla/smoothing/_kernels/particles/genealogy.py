"""The genealogy of a filter's particles, and the variances estimated from it.

The particles of time t that descend from particle j of time k are a family. Times between two
resamplings have the same families: a *generation*. The particles are kept in an order in which
every family is a range, so that a generation is the list of the ends of its ranges: sums over all
families are differences of one cumulative sum, and resampling maps the ends and drops those of
families that died out. With R = 1 + the largest lag, generation g is row g modulo R of the tables
and time t is entry t modulo R; nothing is copied where nothing is resampled.

With W_t^i the normalized weights, r(k, t) the resamplings after time k up to t, and
c = N / (N - 1) for multinomial resampling, 1 for the others,

    q_{k,t} = sum over families of (sum of W_t^i)^2,      V_{k,t} = 1 - c^{r(k,t)+1} (1 - q_{k,t}),
    U_{k,t} = c^{r(k,t)+1} sum over families of (sum of W_t^i (x_t^i - mean))^2.

V_{0,t} estimates the variance of Zhat / Z and U_{0,t} that of the filtered mean, for multinomial
resampling (Lee and Whiteley); U_{t-l,t} is that of Olsson and Douc. V split by the time k at which
noise enters, and what lies more than l behind dropped:

    V^(l)_t = sum_{k=0..t} (V_{k,min(k+l,t)} - V_{k+1,min(k+l,t)}),      V_{t+1,t} = 0,

which is V_{0,t} for l >= t. Schemes of low variance hardly ever give two unrelated particles the
same parent by chance: for them c = 1 and V_{t+1,t} = 1 / N, a heuristic without a limit theorem.

Sources: Lee and Whiteley, "Variance estimation in the particle filter", Biometrika 105 (2018),
609-625; Olsson and Douc, "Numerically stable online estimation of variance in particle filters",
Bernoulli 25 (2019), 1504-1535.
"""

from randla._jit import kernel, summing_kernel
from randla.smoothing._kernels.particles.resample import MULTINOMIAL
from randla.smoothing._kernels.particles.unowned import unowned


@kernel
def follow(begin, end, scheme, threshold, ancestors, weights, states, mean, ess, genealogy):
    """Follow a filter over the times begin, ..., end - 1, whose clouds and track the tables hold.

    `genealogy` is a record of `randla.smoothing._particles.records`; the others are those of the
    filter: ancestors (R, N), normalized weights (R, N), states (R, N, d), mean (T, d), ess (T,),
    each with time t in row t modulo its length. A kernel of its own, as it needs no model: it is
    compiled once for all of them.

    Filled are `variances`, the V^(l)_t of the lags l = 0, ..., R - 1, and `mean_variance[t]`, the
    largest U of these lags.
    """
    ends, sizes, generations, order, places, first, sums, q, runs, variances, largest = unowned(
        genealogy
    )
    n_rows, n = ends.shape
    c = n / (n - 1.0) if scheme == MULTINOMIAL else 1.0
    newest = 0.0 if scheme == MULTINOMIAL else 1.0 / n  # V_{t+1,t}
    for t in range(begin, end):
        resampled = t > 0 and ess[(t - 1) % ess.size] < threshold * n
        last = generations[(t - 1) % n_rows] if t > 0 else -1
        now = last + 1 if resampled or t == 0 else last
        generations[t % n_rows] = now
        oldest = generations[max(t - n_rows + 1, 0) % n_rows]  # that is R - 1 behind at most
        if t == 0:
            for i in range(order.size):
                order[i] = places[i] = i
        elif resampled:  # the families have new members
            parents, row = ancestors[t % ancestors.shape[0]], last % n_rows
            # The last generation: each particle was a family of its own.
            if order.size == 0:
                sizes[row] = count_sorted(parents, first, ends[row])
            else:
                sizes[row] = sort_by_parents(parents, places, order, first, ends[row])
            for g in range(oldest, last):
                sizes[g % n_rows] = survivors(ends[g % n_rows], sizes[g % n_rows], first)
        w, X, row = weights[t % weights.shape[0]], states[t % states.shape[0]], now % n_rows
        for k in range(mean.shape[1]):
            q[row], u = cumulate(w, X, k, mean[t % mean.shape[0], k], order, sums)
            power, top = c, c * u
            for g in range(now - 1, oldest - 1, -1):
                q[g % n_rows], u = squares(sums, ends[g % n_rows], sizes[g % n_rows])
                power *= c
                top = max(top, power * u)
            largest[t % largest.shape[0], k] = top
        sum_over_lags(t, c, newest, generations, q, runs, variances)


@kernel
def count_sorted(parents, first, ends):
    """first[a] = number of entries below a of `parents`, which are sorted.

    Fills the ends of the families of siblings and returns how many there are.
    """
    n = parents.size
    for a in range(n + 1):
        first[a] = 0
    for i in range(n):
        first[parents[i] + 1] = i + 1
    alive, last = 0, 0
    for a in range(1, n + 1):
        end = max(last, first[a])
        first[a] = ends[alive] = end  # see `survivors`
        alive += end != last
        last = end
    return alive


@kernel
def sort_by_parents(ancestors, places, order, first, ends):
    """The same for any ancestors, by a counting sort that puts siblings side by side.

    order[p] is the particle at place p and places[i] the place of particle i, of the parents
    before and of their children after; first[a] = number of children of the parents before place
    a.
    """
    n = order.size
    for a in range(n + 1):
        first[a] = 0
    for i in range(n):
        first[places[ancestors[i]] + 1] += 1
    alive, last = 0, 0
    for a in range(1, n + 1):
        end = last + first[a]
        first[a] = ends[alive] = end
        alive += end != last
        last = end
    for i in range(n):
        parent = places[ancestors[i]]
        order[first[parent]] = i
        first[parent] += 1  # where the next sibling goes; in the end it is first[parent + 1]
    for a in range(n, 0, -1):
        first[a] = first[a - 1]
    first[0] = 0
    for p in range(n):
        places[order[p]] = p
    return alive


@kernel
def survivors(ends, size, first):
    """Map the ends of families to new particles; return how many families still have any."""
    alive, last = 0, 0
    for k in range(size):
        end = first[ends[k]]
        ends[alive] = end  # the next one takes its place if nobody is between them
        alive += end != last
        last = end
    return alive


@kernel
def cumulate(w, X, k, center, order, sums):
    """Fill the columns of `sums` (N + 1, 2) with the partial sums of w and w (X[:, k] - center).

    Returns the sums of squares. A state without weight may be infinite.
    """
    a = b = q = u = 0.0
    sums[0, 0] = sums[0, 1] = 0.0
    in_order = order.size == 0
    for p in range(w.size):
        i = p if in_order else order[p]
        v = w[i]
        dv = v * (X[i, k] - center) if v > 0.0 else 0.0
        a += v
        b += dv
        q += v * v
        u += dv * dv
        sums[p + 1, 0], sums[p + 1, 1] = a, b
    return q, u


@summing_kernel
def squares(sums, ends, size):
    """Sums of squares, over families, of the differences between their ends in both columns."""
    q = u = a = b = 0.0
    for k in range(size):
        end = ends[k]
        next_a, next_b = sums[end, 0], sums[end, 1]
        q += (next_a - a) * (next_a - a)
        u += (next_b - b) * (next_b - b)
        a, b = next_a, next_b
    return q, u


@kernel
def sum_over_lags(t, c, newest, generations, q, runs, variances):
    """Fill the variances V^(l)_t; `newest` is V_{t+1,t}, runs[l] the terms with k <= t - l."""
    n_rows = runs.size
    power, g, v = c, generations[t % n_rows], newest
    for lag in range(n_rows):
        if t == 0:
            runs[lag] = 0.0
        if lag > t:
            variances[lag] = v - newest  # V_{0,t}
            continue
        younger = v
        if generations[(t - lag) % n_rows] < g:
            g -= 1
            power *= c
        v = 1.0 - power * (1.0 - q[g % n_rows])
        runs[lag] += v - younger
        variances[lag] = runs[lag] + (younger - newest)
