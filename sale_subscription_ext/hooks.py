def post_init_hook(env):
    """Give every company a pricelist, since prices per plan are pricelist rules.

    :param env: environment of the superuser, right after the installation
    """
    env['res.company'].search([])._activate_or_create_pricelists()
