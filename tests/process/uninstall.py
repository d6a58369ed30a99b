"""Make a plain order, uninstall the addon and look at the order again."""

product = env['product.product'].create({'name': "Chair", 'list_price': 10.0, 'taxes_id': False})  # noqa: F821
order = env['sale.order'].create({  # noqa: F821
    'partner_id': env['res.partner'].create({'name': "Joe"}).id,  # noqa: F821
    'order_line': [(0, 0, {'product_id': product.id})],
})
order.action_confirm()
env['ir.module.module'].search([('name', '=', 'sale_subscription_ext')]).button_immediate_uninstall()  # noqa: F821
order = env['sale.order'].browse(order.id)  # noqa: F821
assert order.amount_total == 10.0
assert order.state == 'sale'
assert 'plan_id' not in env.registry['sale.order']._fields  # noqa: F821
