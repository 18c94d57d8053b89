"""Advantages of sampled tokens, in NumPy.

Computed in float64; returned as float32 unless the input is float64.
"""

import numpy as np

from realign.errors import UserError

GROUP_EPSILON = 1e-4  # TRL's; a group that scores alike gets advantages of 0


def gae(
    rewards: np.ndarray, values: np.ndarray, mask: np.ndarray, gamma: float, lam: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Generalised advantage estimates and returns (advantage + value), each (B, T), 0 off the mask.

    A_t = Σ_k (γλ)^k δ_{t+k} with δ_t = r_t + γ V_{t+1} − V_t (Schulman et al. 2016, eq. 16). Time runs
    over the positions where the mask holds, whatever lies before, between or after them; the episode
    ends with the last one, and the value after it is 0. Rewards and values off the mask are ignored.
    """
    held = np.asarray(mask, dtype=bool)
    dtype = np.result_type(rewards, values, np.float32)
    reward, value = (np.where(held, x, 0).astype(np.float64) for x in (rewards, values))
    advantages = np.zeros(held.shape)
    next_value, next_advantage = np.zeros(len(held)), np.zeros(len(held))
    for t in range(held.shape[1] - 1, -1, -1):
        delta = reward[:, t] + gamma * next_value - value[:, t]
        advantage = delta + gamma * lam * next_advantage
        advantages[:, t] = np.where(held[:, t], advantage, 0)
        next_advantage = np.where(held[:, t], advantage, next_advantage)
        next_value = np.where(held[:, t], value[:, t], next_value)
    return advantages.astype(dtype), (advantages + value).astype(dtype)


def whiten(advantages: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Advantages (B, T) with mean 0 and standard deviation 1 over the masked positions, 0 off the mask.

    Taken over the whole rollout, before it is cut into batches. Advantages that are all alike become 0.
    """
    held = np.asarray(mask, dtype=bool)
    picked = np.asarray(advantages)[held].astype(np.float64)
    white = np.zeros(held.shape)
    if picked.size:
        white[held] = (picked - picked.mean()) / (picked.std() + 1e-8)
    return white.astype(np.result_type(advantages, np.float32))


def group_relative(rewards: np.ndarray, scale: str = "std") -> np.ndarray:
    """Rewards (P, G) of G answers to each of P prompts, relative to the mean of their group, (P, G).

    `scale` "std" divides by the group's sample standard deviation (GRPO, Shao et al. 2024; ddof and
    epsilon as in TRL); "none" does not (Dr. GRPO, Liu et al. 2025). A group of one gets 0.
    """
    if scale not in ("std", "none"):
        raise UserError(f"unknown scale {scale!r}", where="grpo.scale", expected="std or none")
    rewards = np.asarray(rewards)
    centred = rewards.astype(np.float64) - rewards.mean(axis=1, keepdims=True, dtype=np.float64)
    if scale == "std" and rewards.shape[1] > 1:
        centred /= centred.std(axis=1, ddof=1, keepdims=True) + GROUP_EPSILON
    return centred.astype(np.result_type(rewards, np.float32))
