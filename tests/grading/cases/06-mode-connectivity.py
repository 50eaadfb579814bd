# %% [markdown]
# Wrong and right answers to the exercises of chapter 06. Each cell stands in for the student's.

# %% misconception="polychain" name="straight-line" message="theta does not enter"
def polychain(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    return (1 - t) * w1 + t * w2


# %% misconception="polychain" name="factor-on-one-term" message="Both halves have the factor 2 on one term only"
def polychain(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    if t <= 0.5:
        return 2 * t * theta + (0.5 - t) * w1
    return 2 * (t - 0.5) * w2 + (1 - t) * theta


# %% misconception="polychain" name="no-factor" message="the factor 2 is missing"
def polychain(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    if t <= 0.5:
        return t * theta + (0.5 - t) * w1
    return (t - 0.5) * w2 + (1 - t) * theta


# %% misconception="polychain" name="halves-exchanged" message="is the comparison with 1/2 turned around?"
def polychain(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    if t > 0.5:
        return 2 * (t * theta + (0.5 - t) * w1)
    return 2 * ((t - 0.5) * w2 + (1 - t) * theta)


# %% misconception="polychain" name="second-half-from-zero" message="starts at t = 1/2, not at t = 0"
def polychain(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    if t <= 0.5:
        return (1 - 2 * t) * w1 + 2 * t * theta
    return (1 - 2 * t) * theta + 2 * t * w2


# %% misconception="polychain" name="integer-half" message="The formula of the second half is used for all t"
def polychain(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    half = 1 // 2
    if t <= half:
        return 2 * (t * theta + (0.5 - t) * w1)
    return 2 * ((t - 0.5) * w2 + (1 - t) * theta)


# %% misconception="polychain" name="in-place" message="write into the caller's tensor"
def polychain(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    point = theta
    if t <= 0.5:
        point *= 2 * t
        point += (1 - 2 * t) * w1
    else:
        point *= 2 - 2 * t
        point += (2 * t - 1) * w2
    return point


# %% misconception="polychain" name="hands-out-the-ends" message="it returns w1 itself"
def polychain(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    if t == 0:
        return w1
    if t == 1:
        return w2
    if t <= 0.5:
        return 2 * (t * theta + (0.5 - t) * w1)
    return 2 * ((t - 0.5) * w2 + (1 - t) * theta)


# %% misconception="polychain" name="leaves-out-the-middle" message="Which branch does t = 1/2 take?"
def polychain(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    if t < 0.5:
        point = 2 * (t * theta + (0.5 - t) * w1)
    elif t > 0.5:
        point = 2 * ((t - 0.5) * w2 + (1 - t) * theta)
    return point


# %% misconception="polychain" name="runs-on" message="For t = -0.1 it returns a result"
def polychain(t, w1, theta, w2):
    if t <= 0.5:
        return 2 * (t * theta + (0.5 - t) * w1)
    return 2 * ((t - 0.5) * w2 + (1 - t) * theta)


# %% misconception="polychain" name="assert" message="it stops with AssertionError"
def polychain(t, w1, theta, w2):
    assert 0 <= t <= 1, "t must lie in [0, 1]"
    if t <= 0.5:
        return 2 * (t * theta + (0.5 - t) * w1)
    return 2 * ((t - 0.5) * w2 + (1 - t) * theta)


# %% misconception="polychain" name="multiplication-sign" message="Python needs a * before a parenthesis"
def polychain(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    if t <= 0.5:
        return 2 * (t * theta + w1(0.5 - t))
    return 2 * ((t - 0.5) * w2 + theta(1 - t))


# %% alternative="polychain" name="lerp"
def polychain(t, w1, theta, w2):
    if t < 0 or t > 1:
        raise ValueError(f"t={t}")
    return torch.lerp(w1, theta, 2 * t) if t < 0.5 else torch.lerp(theta, w2, 2 * t - 1)


# %% alternative="polychain" name="hat-functions-in-float32"
def polychain(t, w1, theta, w2):
    if abs(t - 0.5) > 0.5:
        raise ValueError("outside")
    corners = torch.stack([w1, theta, w2]).float()
    shares = (1 - (2 * t - torch.arange(3.0)).abs()).clamp(min=0)
    return torch.tensordot(shares, corners, dims=1)


# %% alternative="polychain" name="in-place-on-a-copy"
def polychain(t, w1, theta, w2):
    if not (t >= 0 and t <= 1):
        raise ValueError("t outside")
    point = theta.clone()
    if t <= 0.5:
        return point.mul_(2 * t).add_(w1, alpha=1 - 2 * t)
    return point.mul_(2 * (1 - t)).add_(w2, alpha=2 * t - 1)


# %% misconception="bezier" name="middle-without-2" message="The middle term lacks its 2"
def bezier(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    return (1 - t) ** 2 * w1 + t * (1 - t) * theta + t**2 * w2


# %% misconception="bezier" name="not-squared" message="The shares of w1 and w2 are not squared"
def bezier(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    return (1 - t) * w1 + 2 * t * (1 - t) * theta + t * w2


# %% misconception="bezier" name="power-binds-first" message="the power binds first"
def bezier(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    return (1 - t**2) * w1 + 2 * t * (1 - t) * theta + t**2 * w2


# %% misconception="bezier" name="middle-without-parentheses" message="1 - t has no parentheses"
def bezier(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    return (1 - t) ** 2 * w1 + 2 * t * 1 - t * theta + t**2 * w2


# %% misconception="bezier" name="through-theta" message="A Bézier curve only bends towards theta"
def bezier(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    control = 2 * theta - (w1 + w2) / 2
    return (1 - t) ** 2 * w1 + 2 * t * (1 - t) * control + t**2 * w2


# %% misconception="bezier" name="reversed" message="It runs from w2 to w1"
def bezier(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    return t**2 * w1 + 2 * t * (1 - t) * theta + (1 - t) ** 2 * w2


# %% misconception="bezier" name="order-of-arguments" message="theta and w2 are exchanged"
def bezier(t, w1, w2, theta):
    if not 0 <= t <= 1:
        raise ValueError("t")
    return (1 - t) ** 2 * w1 + 2 * t * (1 - t) * theta + t**2 * w2


# %% misconception="bezier" name="in-place-lerps" message="has changed: `*=` and `+=` write"
def bezier(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    first = w1.lerp_(theta, t)
    second = torch.lerp(theta, w2, t)
    return first.lerp_(second, t)


# %% misconception="bezier" name="xor-for-power" message="In Python ^ is no power"
def bezier(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    return (1 - t) ^ 2 * w1 + 2 * t * (1 - t) * theta + t ^ 2 * w2


# %% misconception="bezier" name="strict-range" message="Every t in [0, 1] has a point on the curve"
def bezier(t, w1, theta, w2):
    if not 0 < t < 1:
        raise ValueError("t must lie between 0 and 1")
    return (1 - t) ** 2 * w1 + 2 * t * (1 - t) * theta + t**2 * w2


# %% misconception="bezier" name="clamps" message="as if nothing were wrong: raise ValueError"
def bezier(t, w1, theta, w2):
    t = min(max(t, 0), 1)
    return (1 - t) ** 2 * w1 + 2 * t * (1 - t) * theta + t**2 * w2


# %% alternative="bezier" name="de-casteljau"
def bezier(t, w1, theta, w2):
    if t < 0 or t > 1:
        raise ValueError("t")
    first, second = torch.lerp(w1, theta, t), torch.lerp(theta, w2, t)
    return torch.lerp(first, second, t)


# %% alternative="bezier" name="powers-of-t-in-float32"
def bezier(t, w1, theta, w2):
    if not 0.0 <= t <= 1.0:
        raise ValueError("t")
    w1, theta, w2 = (w.to(torch.float32) for w in (w1, theta, w2))
    return w1 + 2 * t * (theta - w1) + t * t * (w1 - 2 * theta + w2)


# %% alternative="bezier" name="sum-over-binomials"
def bezier(t, w1, theta, w2):
    if not 0 <= t <= 1:
        raise ValueError("t")
    point = torch.zeros_like(w1)
    for k, (count, w) in enumerate(zip((1, 2, 1), (w1, theta, w2))):
        point += count * t**k * (1 - t) ** (2 - k) * w
    return point


# %% misconception="curve_gradient" name="no-chain-rule" message="the gradient at the point is returned as it is"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if curve == "chain":
        return loss_grad(polychain(t, w1, theta, w2))
    return loss_grad(bezier(t, w1, theta, w2))


# %% misconception="curve_gradient" name="at-theta" message="loss_grad is asked for at theta"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    factor = 2 * min(t, 1 - t) if curve == "chain" else 2 * t * (1 - t)
    return factor * loss_grad(theta)


# %% misconception="curve_gradient" name="derivative-in-t" message="Derive the point in theta"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if curve == "chain":
        return 2 * min(t, 1 - t) * loss_grad(polychain(t, w1, theta, w2))
    return (2 - 4 * t) * loss_grad(bezier(t, w1, theta, w2))


# %% misconception="curve_gradient" name="2t-in-both-halves" message="the factor is 2t in both halves"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if curve == "chain":
        return 2 * t * loss_grad(polychain(t, w1, theta, w2))
    return 2 * t * (1 - t) * loss_grad(bezier(t, w1, theta, w2))


# %% misconception="curve_gradient" name="one-factor-for-both" message="the factor is the one of the other curve"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    point = polychain if curve == "chain" else bezier
    return 2 * t * (1 - t) * loss_grad(point(t, w1, theta, w2))


# %% misconception="curve_gradient" name="always-the-chain" message="a point of the other curve"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if curve == "chain" or "polychain":
        point = polychain(t, w1, theta, w2)
    else:
        point = bezier(t, w1, theta, w2)
    factor = 2 * min(t, 1 - t) if curve == "chain" else 2 * t * (1 - t)
    return factor * loss_grad(point)


# %% misconception="curve_gradient" name="half-the-factor" message="the factor is half of the right one"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if curve == "chain":
        return min(t, 1 - t) * loss_grad(polychain(t, w1, theta, w2))
    return t * (1 - t) * loss_grad(bezier(t, w1, theta, w2))


# %% misconception="curve_gradient" name="parentheses" message="(2 * t * 1 - t is t as well.)"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if curve == "chain":
        return 2 * min(t, 1 - t) * loss_grad(polychain(t, w1, theta, w2))
    factor = 2 * t * 1 - t
    return factor * loss_grad(bezier(t, w1, theta, w2))


# %% misconception="curve_gradient" name="descent-step" message="the sign is turned"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if curve == "chain":
        return -2 * min(t, 1 - t) * loss_grad(polychain(t, w1, theta, w2))
    return -2 * t * (1 - t) * loss_grad(bezier(t, w1, theta, w2))


# %% misconception="curve_gradient" name="autograd-through-loss_grad" message="no graph leads from it back to theta"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    theta = theta.clone().requires_grad_()
    point = polychain(t, w1, theta, w2) if curve == "chain" else bezier(t, w1, theta, w2)
    slope = loss_grad(point)
    return torch.autograd.grad(slope.sum(), theta)[0]


# %% misconception="curve_gradient" name="finite-differences" message="loss_grad is called more than once"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    phi = polychain if curve == "chain" else bezier
    shift = torch.ones_like(theta)
    share = phi(t, w1, theta + shift, w2) - phi(t, w1, theta, w2)
    return share * (loss_grad(phi(t, w1, theta, w2)) + loss_grad(phi(t, w1, theta, w2))) / 2


# %% misconception="curve_gradient" name="average-of-the-ends" message="direction is right, and the length is"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    phi = polychain if curve == "chain" else bezier
    share = 4 * min(t, 1 - t) if curve == "chain" else 4 * t * (1 - t)
    return share * loss_grad(phi(t, w1, theta, w2))


# %% misconception="curve_gradient" name="flag-left-on" message="requires_grad_() changes the caller's tensor"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    theta.requires_grad_()
    point = polychain(t, w1, theta, w2) if curve == "chain" else bezier(t, w1, theta, w2)
    point.backward(loss_grad(point.detach()))
    return theta.grad


# %% misconception="curve_gradient" name="name-misspelt" message="with which names is curve compared?"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if curve == "Bezier":
        return 2 * t * (1 - t) * loss_grad(bezier(t, w1, theta, w2))
    return 2 * min(t, 1 - t) * loss_grad(polychain(t, w1, theta, w2))


# %% alternative="curve_gradient" name="autograd-through-the-curve"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    leaf = theta.detach().clone().requires_grad_()
    point = {"chain": polychain, "bezier": bezier}[curve](t, w1, leaf, w2)
    (gradient,) = torch.autograd.grad(point, leaf, loss_grad(point.detach()))
    return gradient


# %% alternative="curve_gradient" name="by-halves"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if curve == "chain":
        share = 2 * t if t <= 0.5 else 2 - 2 * t
        point = polychain(t, w1, theta, w2)
    else:
        share = 2 * t - 2 * t**2
        point = bezier(t, w1, theta, w2)
    return loss_grad(point).mul(share)


# %% alternative="curve_gradient" name="own-points-in-float32"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    w1, theta, w2 = w1.float(), theta.float(), w2.float()
    if curve == "chain":
        a, b, c = max(1 - 2 * t, 0), 1 - abs(2 * t - 1), max(2 * t - 1, 0)
    else:
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t**2
    return b * loss_grad(a * w1 + b * theta + c * w2)


# %% misconception="barrier" name="above-the-higher-end" message="above one end, the higher one"
def barrier(losses):
    return (losses.max() - torch.max(losses[0], losses[-1])).item()


# %% misconception="barrier" name="above-the-mean-of-the-ends" message="above the mean of the two ends"
def barrier(losses):
    return (losses.max() - (losses[0] + losses[-1]) / 2).item()


# %% misconception="barrier" name="where-the-loss-is-highest" message="It looks where the loss is highest"
def barrier(losses):
    s = torch.linspace(0, 1, len(losses), dtype=losses.dtype)
    i = losses.argmax()
    return (losses[i] - ((1 - s[i]) * losses[0] + s[i] * losses[-1])).item()


# %% misconception="barrier" name="ends-exchanged" message="The ends of the straight line are exchanged"
def barrier(losses):
    s = torch.linspace(0, 1, len(losses), dtype=losses.dtype)
    return (losses - (s * losses[0] + (1 - s) * losses[-1])).max().item()


# %% misconception="barrier" name="absolute-value" message="so that a dip counts as a barrier"
def barrier(losses):
    s = torch.linspace(0, 1, len(losses), dtype=losses.dtype)
    return (losses - ((1 - s) * losses[0] + s * losses[-1])).abs().max().item()


# %% misconception="barrier" name="s-does-not-reach-1" message="s does not reach 1 at the last point"
def barrier(losses):
    s = torch.arange(len(losses)) / len(losses)
    return (losses - ((1 - s) * losses[0] + s * losses[-1])).max().item()


# %% misconception="barrier" name="parentheses" message="needs its parentheses"
def barrier(losses):
    s = torch.linspace(0, 1, len(losses), dtype=losses.dtype)
    return (losses - (1 - s) * losses[0] + s * losses[-1]).max().item()


# %% misconception="barrier" name="argmax" message="max, not argmax"
def barrier(losses):
    s = torch.linspace(0, 1, len(losses), dtype=losses.dtype)
    return (losses - ((1 - s) * losses[0] + s * losses[-1])).argmax()


# %% misconception="barrier" name="in-place" message="The losses that were passed in have changed"
def barrier(losses):
    line = torch.linspace(losses[0].item(), losses[-1].item(), len(losses), dtype=losses.dtype)
    losses -= line
    return losses.max().item()


# %% misconception="barrier" name="max-of-python-loses-nan" message="Python's max passes over NaN"
def barrier(losses):
    m, values = len(losses), losses.tolist()
    highest = 0.0
    for i, loss in enumerate(values):
        s = i / (m - 1)
        highest = max(highest, loss - (1 - s) * values[0] - s * values[-1])
    return highest


# %% misconception="barrier" name="midpoint" message="It looks at the midpoint only"
def barrier(losses):
    return losses[len(losses) // 2] - (losses[0] + losses[-1]) / 2


# %% misconception="barrier" name="whole-tensor" message="returned shape (9,); a single number is needed"
def barrier(losses):
    s = torch.linspace(0, 1, len(losses), dtype=losses.dtype)
    return losses - ((1 - s) * losses[0] + s * losses[-1])


# %% misconception="barrier" name="linspace-without-count" message="takes the number of points"
def barrier(losses):
    s = torch.linspace(0, 1)
    return (losses - ((1 - s) * losses[0] + s * losses[-1])).max().item()


# %% misconception="barrier" name="without-the-ends" message="A barrier is never negative"
def barrier(losses):
    s = torch.linspace(0, 1, len(losses), dtype=losses.dtype)
    rise = losses - ((1 - s) * losses[0] + s * losses[-1])
    return rise[1:-1].max().item()


# %% alternative="barrier" name="numpy-interp"
def barrier(losses):
    import numpy as np

    losses = losses.detach().numpy()
    line = np.interp(np.arange(len(losses)), [0, len(losses) - 1], losses[[0, -1]])
    return np.max(losses - line)


# %% alternative="barrier" name="loop-with-nan"
def barrier(losses):
    values = [float(loss) for loss in losses]
    rises = []
    for i, loss in enumerate(values):
        s = i / (len(values) - 1)
        rises.append(loss - ((1 - s) * values[0] + s * values[-1]))
    return float("nan") if any(rise != rise for rise in rises) else max(rises)


# %% alternative="barrier" name="float32-tensor"
def barrier(losses):
    losses = losses.float()
    s = torch.arange(len(losses)) / (len(losses) - 1)
    return torch.amax(losses - torch.lerp(losses[0], losses[-1], s))


# %% misconception="plane_basis" name="not-normalized" message="it must be divided by its length"
def plane_basis(w1, w2, w3):
    u = w2 - w1
    v = (w3 - w1) - (w3 - w1) @ u / (u @ u) * u
    if v.norm() <= 1e-5 * (w3 - w1).norm():
        raise ValueError("on one line")
    return u, v


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="projection-not-subtracted" message="its projection on u is not subtracted"
def plane_basis(w1, w2, w3):
    u, v = w2 - w1, w3 - w1
    return u / u.norm(), v / v.norm()


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="projects-on-a-long-u" message="with a u of length 1"
def plane_basis(w1, w2, w3):
    u, d = w2 - w1, w3 - w1
    v = d - torch.dot(d, u) * u
    if v.norm() <= 1e-5 * d.norm():
        raise ValueError("on one line")
    return u / u.norm(), v / v.norm()


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="normalized-too-early" message="normalize after it"
def plane_basis(w1, w2, w3):
    u = w2 - w1
    u = u / u.norm()
    v = w3 - w1
    v = v / v.norm()
    v = v - (v @ u) * u
    if v.norm() <= 1e-5:
        raise ValueError("on one line")
    return u, v


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="from-the-origin" message="The plane starts at w1, not at 0: take w3 - w1"
def plane_basis(w1, w2, w3):
    u = (w2 - w1) / (w2 - w1).norm()
    v = w3 - (w3 @ u) * u
    return u, v / v.norm()


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="entry-by-entry" message="It multiplies entry by entry"
def plane_basis(w1, w2, w3):
    u, d = w2 - w1, w3 - w1
    u = u / u.norm()
    v = d - d * u * u
    return u, v / v.norm()


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="in-place" message="The w2 that was passed in has changed"
def plane_basis(w1, w2, w3):
    u, v = w2, w3
    u -= w1
    u /= u.norm()
    v -= w1
    v -= (v @ u) * u
    return u, v / v.norm()


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="qr-signs" message="u points from w2 to w1"
def plane_basis(w1, w2, w3):
    q, r = torch.linalg.qr(torch.stack([w2 - w1, w3 - w1], dim=1))
    if r[1, 1].abs() <= 1e-5 * (w3 - w1).norm():
        raise ValueError("on one line")
    return q[:, 0], q[:, 1]


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="exactly-zero" message="as if nothing were wrong: raise ValueError"
def plane_basis(w1, w2, w3):
    u, d = w2 - w1, w3 - w1
    if (u == 0).all():
        raise ValueError("w1 = w2")
    u = u / u.norm()
    v = d - (d @ u) * u
    if v.norm() == 0:
        raise ValueError("on one line")
    return u, v / v.norm()


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="absolute-tolerance" message="It stopped with ValueError"
def plane_basis(w1, w2, w3):
    u, d = w2 - w1, w3 - w1
    if u.norm() < 1e-2:
        raise ValueError("w1 = w2")
    u = u / u.norm()
    v = d - (d @ u) * u
    if v.norm() < 1e-2:
        raise ValueError("on one line")
    return u, v / v.norm()


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="coordinates-from-0" message="the plane's origin (0, 0) is w1"
def plane_basis(w1, w2, w3):
    u, d = w2 - w1, w3 - w1
    if u.norm() == 0 or d.norm() == 0:
        raise ValueError("two points coincide")
    u = u / u.norm()
    v = d - (d @ u) * u
    if v.norm() <= 1e-5 * d.norm():
        raise ValueError("on one line")
    return u, v / v.norm()


def plane_coordinates(points, w1, u, v):
    return torch.stack([points @ u, points @ v], dim=-1)


# %% misconception="plane_basis" name="coordinates-as-rows" message="first all x, then all y? One row (x, y) for each point is needed"
def plane_basis(w1, w2, w3):
    u, d = w2 - w1, w3 - w1
    if u.norm() == 0 or d.norm() == 0:
        raise ValueError("two points coincide")
    u = u / u.norm()
    v = d - (d @ u) * u
    if v.norm() <= 1e-5 * d.norm():
        raise ValueError("on one line")
    return u, v / v.norm()


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v])


# %% misconception="plane_basis" name="coordinates-reshaped" message="reshape does not exchange rows and columns"
def plane_basis(w1, w2, w3):
    u, d = w2 - w1, w3 - w1
    if u.norm() == 0 or d.norm() == 0:
        raise ValueError("two points coincide")
    u = u / u.norm()
    v = d - (d @ u) * u
    if v.norm() <= 1e-5 * d.norm():
        raise ValueError("on one line")
    return u, v / v.norm()


def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v]).reshape(-1, 2)


# %% misconception="plane_basis" name="coordinates-in-place" message="The points that was passed in has changed"
def plane_basis(w1, w2, w3):
    u, d = w2 - w1, w3 - w1
    if u.norm() == 0 or d.norm() == 0:
        raise ValueError("two points coincide")
    u = u / u.norm()
    v = d - (d @ u) * u
    if v.norm() <= 1e-5 * d.norm():
        raise ValueError("on one line")
    return u, v / v.norm()


def plane_coordinates(points, w1, u, v):
    points -= w1
    return torch.stack([points @ u, points @ v], dim=-1)


# %% alternative="plane_basis" name="qr-with-signs"
def plane_basis(w1, w2, w3):
    q, r = torch.linalg.qr(torch.stack([w2 - w1, w3 - w1], dim=1))
    if r[0, 0] == 0 or r[1, 1].abs() <= 1e-5 * r[:, 1].norm():
        raise ValueError("the points lie on one line")
    return tuple((q * torch.sign(torch.diagonal(r))).T)


def plane_coordinates(points, w1, u, v):
    return (points - w1) @ torch.stack([u, v], dim=1)


# %% alternative="plane_basis" name="float32-lists"
def plane_basis(w1, w2, w3):
    w1, w2, w3 = w1.float(), w2.float(), w3.float()
    u = w2 - w1
    if torch.equal(w1, w2) or torch.equal(w1, w3):
        raise ValueError("equal points")
    u = torch.nn.functional.normalize(u, dim=0, eps=0)
    v = w3 - w2
    v = v - torch.dot(v, u) * u
    if v.norm() <= 1e-5 * (w3 - w1).norm():
        raise ValueError("one line")
    return [u, v / v.norm()]


def plane_coordinates(points, w1, u, v):
    moved = points - w1
    return torch.cat([(moved * b).sum(-1, keepdim=True) for b in (u, v)], dim=-1)


# %% alternative="plane_basis" name="least-squares-coordinates"
def plane_basis(w1, w2, w3):
    a, b = w2 - w1, w3 - w1
    if not a.any():
        raise ValueError("w1 and w2 are equal")
    rest = b - a * torch.sum(a * b) / torch.sum(a * a)
    if torch.sqrt(torch.sum(rest**2)) <= 1e-5 * torch.sqrt(torch.sum(b**2)):
        raise ValueError("one line")
    return a / torch.sqrt(torch.sum(a**2)), rest / torch.sqrt(torch.sum(rest**2))


def plane_coordinates(points, w1, u, v):
    basis = torch.stack([u, v], dim=1)
    rows = (points - w1).reshape(-1, len(w1))
    found = torch.linalg.lstsq(basis, rows.T).solution.T
    return found.reshape(*points.shape[:-1], 2)


# %% misconception="reestimate_batch_norm" name="keeps-the-momentum" message="exponential averages with momentum 0.1. Reset them first"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        raise ValueError("no batch norm")
    modes = [m.training for m in model.modules()]
    model.eval()
    for layer in layers:
        layer.train()
    with torch.no_grad():
        for X in batches:
            model(X)
    for module, mode in zip(model.modules(), modes):
        module.training = mode


# %% misconception="reestimate_batch_norm" name="resets-and-keeps-the-momentum" message="early batches are nearly forgotten"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        raise ValueError("no batch norm")
    modes = [m.training for m in model.modules()]
    model.eval()
    for layer in layers:
        layer.train()
        layer.reset_running_stats()
    with torch.no_grad():
        for X in batches:
            model(X)
    for module, mode in zip(model.modules(), modes):
        module.training = mode


# %% misconception="reestimate_batch_norm" name="no-reset" message="reset_running_stats() forgets them"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        raise ValueError("no batch norm")
    modes = [m.training for m in model.modules()]
    model.eval()
    for layer in layers:
        layer.train()
        layer.momentum = None
    with torch.no_grad():
        for X in batches:
            model(X)
    for layer in layers:
        layer.momentum = 0.1
    for module, mode in zip(model.modules(), modes):
        module.training = mode


# %% misconception="reestimate_batch_norm" name="in-evaluation-mode" message="0 and 1: reset, and then no batch went through in training mode"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        raise ValueError("no batch norm")
    modes = [m.training for m in model.modules()]
    for layer in layers:
        layer.train()
        layer.reset_running_stats()
    model.eval()
    with torch.no_grad():
        for X in batches:
            model(X)
    for module, mode in zip(model.modules(), modes):
        module.training = mode


# %% misconception="reestimate_batch_norm" name="forgets-to-switch" message="Dropout acted"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        raise ValueError("no batch norm")
    was_training = model.training
    model.train()
    momenta = {}
    for layer in layers:
        momenta[layer] = layer.momentum
        layer.reset_running_stats()
        layer.momentum = None
    with torch.no_grad():
        for X in batches:
            model(X)
    for layer in layers:
        layer.momentum = momenta[layer]
    model.train(was_training)


# %% misconception="reestimate_batch_norm" name="one-mode-for-all" message="A single module came in evaluation mode"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        raise ValueError("no batch norm")
    was_training = model.training
    model.eval()
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None
    with torch.no_grad():
        for X in batches:
            model(X)
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    model.train(was_training)


# %% misconception="reestimate_batch_norm" name="leaves-momentum-none" message="The layers' momentum was 0.1 and is None now"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        raise ValueError("no batch norm")
    modes = [m.training for m in model.modules()]
    model.eval()
    for layer in layers:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None
    with torch.no_grad():
        for X in batches:
            model(X)
    for module, mode in zip(model.modules(), modes):
        module.training = mode


# %% misconception="reestimate_batch_norm" name="aliased-sums" message="They are those of the last batch alone"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        raise ValueError("no batch norm")
    modes = [m.training for m in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.train()
        layer.momentum = 1.0
    seen = []
    with torch.no_grad():
        for X in batches:
            model(X)
            seen.append([(layer.running_mean, layer.running_var) for layer in layers])
        for k, layer in enumerate(layers):
            layer.running_mean.copy_(torch.stack([part[k][0] for part in seen]).mean(0))
            layer.running_var.copy_(torch.stack([part[k][1] for part in seen]).mean(0))
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    for module, mode in zip(model.modules(), modes):
        module.training = mode


# %% misconception="reestimate_batch_norm" name="hooks-in-evaluation-mode" message="normalized by the first one's old statistics"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    if not layers:
        raise ValueError("no batch norm")
    modes = [m.training for m in model.modules()]
    model.eval()
    inputs = {layer: [] for layer in layers}
    hooks = [layer.register_forward_hook(lambda m, x, y: inputs[m].append(x[0])) for layer in layers]
    with torch.no_grad():
        for X in batches:
            model(X)
        for layer, seen in inputs.items():
            rows = [x.transpose(0, 1).flatten(1) for x in seen]
            layer.running_mean.copy_(torch.stack([x.mean(1) for x in rows]).mean(0))
            layer.running_var.copy_(torch.stack([x.var(1) for x in rows]).mean(0))
    for hook in hooks:
        hook.remove()
    for module, mode in zip(model.modules(), modes):
        module.training = mode


# %% misconception="reestimate_batch_norm" name="all-in-one-batch" message="All batches went through as one"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        raise ValueError("no batch norm")
    modes = [m.training for m in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.train()
        layer.momentum = 1.0
    with torch.no_grad():
        model(torch.cat(batches))
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    for module, mode in zip(model.modules(), modes):
        module.training = mode


# %% misconception="reestimate_batch_norm" name="only-1d" message="nn.BatchNorm1d and nn.BatchNorm2d are different classes"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
    if not layers:
        raise ValueError("no batch norm")
    modes = [m.training for m in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None
    with torch.no_grad():
        for X in batches:
            model(X)
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    for module, mode in zip(model.modules(), modes):
        module.training = mode


# %% misconception="reestimate_batch_norm" name="children-only" message="Only the first batch-norm layer has new statistics"
def reestimate_batch_norm(model, batches):
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    layers = [m for m in model.children() if isinstance(m, kinds)]
    if not layers:
        raise ValueError("no batch norm")
    modes = [m.training for m in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None
    with torch.no_grad():
        for X in batches:
            model(X)
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    for module, mode in zip(model.modules(), modes):
        module.training = mode


# %% misconception="reestimate_batch_norm" name="says-nothing-without-batch-norm" message="as if nothing were wrong: raise ValueError"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    modes = [m.training for m in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None
    with torch.no_grad():
        for X in batches:
            model(X)
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    for module, mode in zip(model.modules(), modes):
        module.training = mode


# %% misconception="reestimate_batch_norm" name="asks-the-package" message="calls flatlab."
def reestimate_batch_norm(model, batches):
    from flatlab.curvature import reestimate_batch_norm

    X = torch.cat(batches)
    reestimate_batch_norm(model, (X, torch.zeros(len(X))), batch_size=len(batches[0]))


# %% alternative="reestimate_batch_norm" name="update-bn-and-the-rest"
def reestimate_batch_norm(model, batches):
    from torch.optim.swa_utils import update_bn

    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if len(norms) == 0:
        raise ValueError("no batch norm in this model")
    before = {m: m.training for m in model.modules()}
    dropouts = [(m, m.train) for m in model.modules() if isinstance(m, nn.Dropout)]
    for m, _ in dropouts:
        m.eval()
        m.train = lambda mode=True: None
    update_bn(batches, model)
    for m, _ in dropouts:
        del m.train
    for m, mode in before.items():
        m.training = mode


# %% alternative="reestimate_batch_norm" name="momentum-one-over-k"
@torch.no_grad()
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if hasattr(m, "running_mean")]
    if not layers:
        raise ValueError("no layer keeps running statistics")
    flags = [(m, m.training) for m in model.modules()]
    old = [layer.momentum for layer in layers]
    try:
        model.eval()
        for layer in layers:
            layer.training = True
        for k, X in enumerate(batches, start=1):
            for layer in layers:
                layer.momentum = 1 / k
            model(X)
    finally:
        for layer, momentum in zip(layers, old):
            layer.momentum = momentum
        for m, flag in flags:
            m.training = flag


# %% alternative="reestimate_batch_norm" name="sums-of-its-own"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if type(m).__name__.startswith("BatchNorm")]
    if not layers:
        raise ValueError("no batch norm")
    modes, momenta = {m: m.training for m in model.modules()}, [m.momentum for m in layers]
    means = [torch.zeros_like(m.running_mean) for m in layers]
    variances = [torch.zeros_like(m.running_var) for m in layers]
    model.eval()
    for m in layers:
        m.train()
        m.momentum = 1.0
    for X in batches:
        with torch.inference_mode():
            model(X)
        for k, m in enumerate(layers):
            means[k] += m.running_mean / len(batches)
            variances[k] += m.running_var / len(batches)
    for k, m in enumerate(layers):
        m.running_mean = means[k]
        m.running_var = variances[k]
        m.momentum = momenta[k]
    for m in modes:
        m.training = modes[m]


# %% misconception="fge_learning_rate" name="starts-at-high" message="Is the + 1 missing"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2:
        raise ValueError("cycle")
    t = (step % cycle) / cycle
    return (1 - 2 * t) * high + 2 * t * low if t <= 0.5 else (2 - 2 * t) * low + (2 * t - 1) * high


# %% misconception="fge_learning_rate" name="precedence-of-t" message="step % cycle + 1 / cycle divides the 1 only"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2:
        raise ValueError("cycle")
    t = step % cycle + 1 / cycle
    return (1 - 2 * t) * high + 2 * t * low if t <= 0.5 else (2 - 2 * t) * low + (2 * t - 1) * high


# %% misconception="fge_learning_rate" name="saw" message="It falls for a whole cycle and jumps up"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2:
        raise ValueError("cycle")
    t = (step % cycle + 1) / cycle
    return (1 - t) * high + t * low


# %% misconception="fge_learning_rate" name="no-way-back" message="It falls on below low"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2:
        raise ValueError("cycle")
    t = (step % cycle + 1) / cycle
    return (1 - 2 * t) * high + 2 * t * low


# %% misconception="fge_learning_rate" name="low-and-high-exchanged" message="low and high are exchanged"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2:
        raise ValueError("cycle")
    t = (step % cycle + 1) / cycle
    return (1 - 2 * t) * low + 2 * t * high if t <= 0.5 else (2 - 2 * t) * high + (2 * t - 1) * low


# %% misconception="fge_learning_rate" name="one-cycle" message="after the first cycle: step % cycle starts again"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2:
        raise ValueError("cycle")
    t = (step + 1) / cycle
    return (1 - 2 * t) * high + 2 * t * low if t <= 0.5 else (2 - 2 * t) * low + (2 * t - 1) * high


# %% misconception="fge_learning_rate" name="second-half-without-2" message="Behind the middle it jumps"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2:
        raise ValueError("cycle")
    t = (step % cycle + 1) / cycle
    return (1 - 2 * t) * high + 2 * t * low if t <= 0.5 else (1 - t) * low + t * high


# %% misconception="fge_learning_rate" name="cosine" message="It swings like a cosine"
def fge_learning_rate(step, cycle, low, high):
    import math

    if cycle < 2 or cycle % 2:
        raise ValueError("cycle")
    t = (step % cycle + 1) / cycle
    return low + (high - low) * (1 + math.cos(2 * math.pi * t)) / 2


# %% misconception="fge_learning_rate" name="second-half-without-parentheses" message="In the second half 2 * t - 1 * high lacks parentheses"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2:
        raise ValueError("cycle")
    t = (step % cycle + 1) / cycle
    if t <= 0.5:
        return (1 - 2 * t) * high + 2 * t * low
    return (2 - 2 * t) * low + 2 * t - 1 * high


# %% misconception="fge_learning_rate" name="whole-division" message="Is t a whole number, by // instead of /?"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2:
        raise ValueError("cycle")
    t = (step % cycle + 1) // cycle
    return (1 - 2 * t) * high + 2 * t * low if t <= 0.5 else (2 - 2 * t) * low + (2 * t - 1) * high


# %% misconception="fge_learning_rate" name="any-cycle" message="For cycle = 5 it returns a result"
def fge_learning_rate(step, cycle, low, high):
    t = (step % cycle + 1) / cycle
    return low + (high - low) * abs(1 - 2 * t)


# %% misconception="fge_learning_rate" name="forgets-zero" message="it stops with ZeroDivisionError"
def fge_learning_rate(step, cycle, low, high):
    t = (step % cycle + 1) / cycle
    if cycle % 2 or cycle == 1:
        raise ValueError("cycle")
    return low + (high - low) * abs(1 - 2 * t)


# %% misconception="fge_learning_rate" name="asks-the-package" message="calls flatlab."
def fge_learning_rate(step, cycle, low, high):
    import flatlab

    return flatlab.averaging.fge_learning_rate(step, cycle, low, high)


# %% alternative="fge_learning_rate" name="formula-by-halves"
def fge_learning_rate(step, cycle, low, high):
    if cycle % 2 != 0 or cycle < 2:
        raise ValueError("an odd cycle has no middle")
    t = ((step % cycle) + 1) / cycle
    if t <= 1 / 2:
        return (1 - 2 * t) * high + 2 * t * low
    return (2 - 2 * t) * low + (2 * t - 1) * high


# %% alternative="fge_learning_rate" name="table"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2 == 1:
        raise ValueError("cycle")
    half = cycle // 2
    down = [high + (low - high) * (k + 1) / half for k in range(half)]
    up = [low + (high - low) * (k + 1) / half for k in range(half)]
    return (down + up)[step % cycle]


# %% alternative="fge_learning_rate" name="float32-tensor"
def fge_learning_rate(step, cycle, low, high):
    if cycle <= 0 or cycle % 2:
        raise ValueError("cycle")
    t = torch.tensor((step % cycle + 1) / cycle)
    return high - (high - low) * torch.min(2 * t, 2 - 2 * t)
