def post_init_hook(env):
    """Give every company a pricelist, since prices per plan are pricelist rules.

    :param env: environment of the superuser, right after the installation
    """
    pricelists = env['product.pricelist'].search([])
    if any(not pricelist.company_id for pricelist in pricelists):
        return
    companies = env['res.company'].search([]) - pricelists.company_id
    if companies:
        companies._activate_or_create_pricelists()
