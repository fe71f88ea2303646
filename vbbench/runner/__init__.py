"""Plans, does and keeps a run: `plan.build` lists the jobs, `execute.execute` does them,
`store.RunStore` keeps results."""
